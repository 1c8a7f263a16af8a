# Triton's own client library, against a plain and a batched location: what it
# says of both must be equal.  Prints a line for each check.
#
#   triton_client.py PLAIN BATCHED json|binary

import concurrent.futures
import sys
import threading

import numpy
import tritonclient.http

from tritonclient.utils import InferenceServerException

THREADS = 16

plain, batched, form = sys.argv[1:]
binary = form == "binary"
local = threading.local()


# a client is for one thread

def client(url):
    clients = local.__dict__.setdefault("clients", {})

    if url not in clients:
        clients[url] = tritonclient.http.InferenceServerClient(url)

    return clients[url]


def tensor(name, value, datatype):
    made = tritonclient.http.InferInput(name, value.shape, datatype)
    made.set_data_from_numpy(value, binary_data=binary)
    return made


def wanted(*names):
    return [tritonclient.http.InferRequestedOutput(name, binary_data=binary)
            for name in names]


# what came of a request, to compare

def told(url, model, inputs, outputs, **options):
    try:
        got = client(url).infer(model, inputs, outputs=outputs, **options)

    except InferenceServerException as error:
        return "error", error.status(), error.message()

    said = got.get_response()

    return (said.get("id"), said["model_name"], [
        (one["name"], one["datatype"], one["shape"],
         got.as_numpy(one["name"]).tobytes() if one["datatype"] != "BYTES"
         else got.as_numpy(one["name"]).tolist())
        for one in said["outputs"]])


def add_sub(number, **options):
    rows = 1 + number % 3
    a = numpy.arange(rows * 3, dtype=numpy.float32).reshape(rows, 3) + number
    b = numpy.full((rows, 3), number / 7, dtype=numpy.float32)

    return ("add_sub", [tensor("a", a, "FP32"), tensor("b", b, "FP32")],
            wanted("sum", "difference"),
            {"request_id": f"add {number}", **options})


def upper(*texts):
    value = numpy.array([[text.encode()] for text in texts], dtype=object)

    return ("upper", [tensor("text", value, "BYTES")],
            wanted("upper", "length"), {"request_id": f"upper {texts[0]}"})


def check(name, requests):
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        at = {url: list(pool.map(lambda r: told(url, *r[:3], **r[3]),
                                 requests)) for url in (plain, batched)}

    differ = [(one, other) for one, other in zip(at[plain], at[batched])
              if one != other]

    print(f"{'not ok' if differ else 'ok'} {form}: {name}")

    for one, other in differ[:2]:
        print(f"# {other}\n# instead of {one}")

    return at[batched]


def main():
    answers = check("rows", [add_sub(number) for number in range(96)])
    right = 0

    for number, answer in enumerate(answers):
        rows = 1 + number % 3
        a = numpy.arange(rows * 3, dtype=numpy.float32) + number
        b = numpy.full(rows * 3, number / 7, dtype=numpy.float32)
        right += (answer[0] == f"add {number}"
                  and answer[2][0][3] == (a + b).tobytes()
                  and answer[2][1][3] == (a - b).tobytes())

    print(f"{'ok' if right == 96 else 'not ok'} {form}: sums are right")

    check("strings", [upper(f"text {number}", "ä", "x" * number)
                      for number in range(1, 33)])
    check("an error among them", [
        upper("" if number == 7 else f"text {number}")
        for number in range(16)])
    check("priorities", [add_sub(number, priority=number % 3 + 1,
                                 timeout=10000000)
                         for number in range(32)])
    check("compressed", [add_sub(number, request_compression_algorithm="gzip")
                         for number in range(8)])
    check("to be compressed", [
        add_sub(number, response_compression_algorithm="gzip")
        for number in range(32)])
    check("sequences", [add_sub(number, sequence_id=number + 1,
                                sequence_start=True, sequence_end=True)
                        for number in range(8)])


main()
