# OpenAI's own client library, against a plain and a batched location: what it
# says of both must be equal, but for shares of the usage.  Prints a line for
# each check.
#
#   openai_client.py PLAIN BATCHED

import concurrent.futures
import sys

import openai

THREADS = 16
MODEL = "all-MiniLM-L6-v2"

plain, batched = (openai.OpenAI(base_url=url, api_key="secret", max_retries=0)
                  for url in sys.argv[1:])


def told(client, request):
    try:
        got = client.embeddings.create(**{"model": MODEL, **request})

    except openai.APIStatusError as error:
        return ("error", error.status_code, error.body), 0

    return ((got.object, got.model, [(one.object, one.index, one.embedding)
                                     for one in got.data]),
            got.usage.prompt_tokens)


def check(name, requests):
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        one, other = (list(pool.map(lambda r: told(client, r), requests))
                      for client in (plain, batched))

    differ = [(x, y) for (x, _), (y, _) in zip(one, other) if x != y]
    print(f"{'not ok' if differ else 'ok'} {name}")

    for x, y in differ[:2]:
        print(f"# {str(y)[:500]}\n# instead of {str(x)[:500]}")

    used = [sum(count for _, count in answers) for answers in (one, other)]
    print(f"{'ok' if used[0] == used[1] else 'not ok'} {name}: usage {used}")


def main():
    check("strings", [{"input": f"text number {n}"} for n in range(32)])
    check("lists", [{"input": ["one"] * (n % 3) + [f"and {n}"]}
                    for n in range(32)])
    check("floats", [{"input": f"text {n}", "encoding_format": "float"}
                     for n in range(16)])
    check("tokens", [{"input": [101, 2000 + n, 102]} for n in range(16)])
    check("dimensions", [{"input": f"text {n}", "dimensions": 8}
                         for n in range(16)])
    check("an error among them", [{"input": ["", "ok"][n != 5]}
                                  for n in range(16)])
    check("no model", [{"input": f"text {n}", "model": "none"}
                       for n in range(8)])


main()
