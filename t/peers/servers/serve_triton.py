# Models behind Triton, which speaks the Open Inference Protocol (V2) in JSON
# and in binary tensors.  All of them compute row by row, so that an answer
# does not depend on the batch that it rode in.
#
#   serve_triton.py PORT GRPC_PORT

import signal
import sys
import threading

import numpy

from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


@batch
def add_sub(a, b):
    return {"sum": a + b, "difference": a - b}


# Of the requests that Triton itself makes a batch of all fail if one does.
# Not so here: this model gets each request alone.

def upper(requests):
    (text,) = (request["text"] for request in requests)

    if (text == b"").any():
        raise ValueError("an empty text")

    flat = [one.upper() for one in text.reshape(-1)]

    return [{"upper": numpy.array(flat, dtype=object).reshape(text.shape),
             "length": numpy.array([[len(one)] for one in flat],
                                   dtype="int64")}]


@batch
def echo(**inputs):
    return {f"{name}_out": one for name, one in inputs.items()}


def main():
    port, grpc_port = map(int, sys.argv[1:])
    done = threading.Event()

    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, lambda *_: done.set())

    config = ModelConfig(max_batch_size=128)

    with Triton(workspace="workspace", config=TritonConfig(
            http_address="127.0.0.1", http_port=port,
            grpc_address="127.0.0.1", grpc_port=grpc_port,
            allow_metrics=False)) as triton:

        triton.bind(
            model_name="add_sub", infer_func=add_sub, config=config,
            inputs=[Tensor(name=name, dtype=numpy.float32, shape=(3,))
                    for name in ("a", "b")],
            outputs=[Tensor(name=name, dtype=numpy.float32, shape=(3,))
                     for name in ("sum", "difference")])

        triton.bind(
            model_name="upper", infer_func=upper,
            config=ModelConfig(batching=False),
            inputs=[Tensor(name="text", dtype=bytes, shape=(-1, 1))],
            outputs=[Tensor(name="upper", dtype=bytes, shape=(-1, 1)),
                     Tensor(name="length", dtype=numpy.int64, shape=(-1, 1))])

        kinds = {"bool": bool, "u8": "uint8", "i16": "int16", "i32": "int32",
                 "u64": "uint64", "f16": "float16", "f64": "float64"}
        kinds = {name: numpy.dtype(kind).type for name, kind in kinds.items()}

        triton.bind(
            model_name="echo", infer_func=echo, config=config,
            inputs=[Tensor(name=name, dtype=kind, shape=(-1,), optional=True)
                    for name, kind in kinds.items()],
            outputs=[Tensor(name=f"{name}_out", dtype=kind, shape=(-1,))
                     for name, kind in kinds.items()])

        triton.run()
        done.wait()


main()
