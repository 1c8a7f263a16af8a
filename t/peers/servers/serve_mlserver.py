# Models behind MLServer, which speaks the Open Inference Protocol (V2) in
# JSON.  All of them compute row by row, so that an answer does not depend on
# the batch that it rode in.
#
#   serve_mlserver.py PORT GRPC_PORT

import asyncio
import sys

import numpy

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.settings import ModelParameters
from mlserver.types import InferenceResponse, ResponseOutput


class Model(MLModel):

    async def load(self):
        return True

    # the named inputs as arrays; strings are a list

    def tensors(self, request, *names):
        given = {one.name: one for one in request.inputs}

        for name in given:
            if name not in names:
                raise InferenceError(f"unexpected input {name}")

        found = []

        for name in names:
            if name not in given:
                raise InferenceError(f"input {name} is missing")

            codec = (StringCodec if given[name].datatype == "BYTES"
                     else NumpyCodec)
            found.append(self.decode(given[name], default_codec=codec))

        return found

    def response(self, request, outputs):
        wanted = [one.name for one in request.outputs or []]

        return InferenceResponse(
            model_name=self.name, model_version=self.version,
            outputs=[one for one in outputs
                     if not wanted or one.name in wanted])



class AddSub(Model):
    """[N, 3] and [N, 3]: their sum and their difference"""

    async def predict(self, request):
        a, b = self.tensors(request, "a", "b")

        if a.shape != b.shape or a.shape[1:] != (3,):
            raise InferenceError(
                f"wanted are [-1, 3] twice, not {list(a.shape)}"
                f" and {list(b.shape)}")

        return self.response(request, [
            NumpyCodec.encode_output("sum", a + b),
            NumpyCodec.encode_output("difference", a - b)])


class Upper(Model):
    """BYTES [N, 1]: in upper case, and their lengths"""

    async def predict(self, request):
        (text,) = self.tensors(request, "text")

        if "" in text:
            raise InferenceError("an empty text")

        return self.response(request, [
            StringCodec.encode_output("upper", [one.upper() for one in text]),
            NumpyCodec.encode_output("length", numpy.array(
                [[len(one)] for one in text], dtype="int64"))])


class Echo(Model):
    """each input, whatever it is"""

    async def predict(self, request):
        return self.response(request, [
            ResponseOutput(name=one.name, shape=one.shape,
                           datatype=one.datatype, data=one.data)
            for one in request.inputs])


def main():
    port, grpc_port = map(int, sys.argv[1:])

    server = MLServer(Settings(
        host="127.0.0.1", http_port=port, grpc_port=grpc_port,
        parallel_workers=0, metrics_endpoint=None, debug=False,
        load_models_at_startup=False))

    asyncio.run(server.start([
        ModelSettings(name=name, implementation=model,
                      parameters=ModelParameters(version=version))
        for name, model, version in (("add_sub", AddSub, "1"),
                                     ("upper", Upper, "1"),
                                     ("echo", Echo, None))]))


main()
