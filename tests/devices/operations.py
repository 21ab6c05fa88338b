"""How often each kind of layer rounds otherwise in XNNPACK; run by a Python with LiteRT.

python operations.py PHOTO

Each operation of the packaged encoder is made a graph of its own and run by XNNPACK and by the
engine's own kernels, on the same input: what the operations before it give of PHOTO. Prints a JSON
object: name of the operation -> how many there are, the share of their values that differ, and by
how many steps of the output's int8 at most (of floats: how much).
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgecap import image
from edgecap.bundle import Bundle
from edgecap_runtime import default_bundle

OWN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()}


def alone(content: bytes, number: int) -> tuple[str, list[int], bytes]:
    """An operation's name, the tensors it reads that are no weights, and a graph of it alone."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graph = model.subgraphs[0]
    operation = graph.operators[number]
    code = model.operatorCodes[operation.opcodeIndex]
    weightless = [
        int(tensor)
        for tensor in operation.inputs
        if tensor >= 0 and model.buffers[graph.tensors[tensor].buffer].data is None
    ]
    graph.operators, graph.inputs, graph.outputs = [operation], weightless, operation.outputs
    model.signatureDefs = []
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    name = NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return name, weightless, bytes(builder.Output())


def run(content: bytes, inputs: list[Any], kernels: Any) -> Any:
    """What a graph with one output gives."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    for details, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return interpreter.get_tensor(output["index"])


bundle = Bundle.open(default_bundle())
size = bundle.manifest.input
content = bundle.encoder
whole = Interpreter(
    model_content=content,
    experimental_op_resolver_type=OWN,
    experimental_preserve_all_tensors=True,
)
whole.allocate_tensors()
photo = image.load(sys.argv[1], size.width, size.height, size.resampling)
whole.set_tensor(whole.get_input_details()[0]["index"], photo[np.newaxis])
whole.invoke()
found = defaultdict(list)
for number in range(schema.Model.GetRootAs(content).Subgraphs(0).OperatorsLength()):
    name, tensors, graph = alone(content, number)
    inputs = [whole.get_tensor(tensor) for tensor in tensors]
    given = [run(graph, inputs, kernels).astype(float) for kernels in (OpResolverType.AUTO, OWN)]
    found[name].append(np.abs(given[0] - given[1]))
print(
    json.dumps(
        {
            name: {
                "operations": len(all_apart),
                "differing": float(np.mean([(apart > 0).mean() for apart in all_apart])),
                "largest": max(float(apart.max()) for apart in all_apart),
            }
            for name, all_apart in found.items()
        }
    )
)
