"""What a TFLite file holds, read from its FlatBuffer."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.manifest import Weights
from edgecap_converter.frameworks import import_tensorflow

# Which input of an operation holds its weights.
_WEIGHTS_INPUT = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "GATHER": 0}
_DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8}


def read(content: bytes) -> Any:
    """The file as the objects that FlatBuffers generates from TFLite's schema."""
    import_tensorflow()
    from tensorflow.lite.python import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(content, 0)


def count_weights(content: bytes) -> tuple[Weights, ...]:
    """The weights of each kind of operation, and how many stand for exactly zero.

    Biases are not counted, a tensor that several operations share once.
    """
    import_tensorflow()
    from tensorflow.lite.python import schema_py_generated as schema

    operations = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    dtypes = {code: _DTYPES.get(name) for name, code in vars(schema.TensorType).items()}
    model = read(content)
    counts: Counter[str] = Counter()
    zeros: Counter[str] = Counter()
    for graph in model.subgraphs:
        # Float16 weights reach their operation through one that makes them float32.
        unpacked: dict[int, int] = {}
        counted = set()
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = operations[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if name == "DEQUANTIZE":
                unpacked[operator.outputs[0]] = operator.inputs[0]
            if name not in _WEIGHTS_INPUT:
                continue
            index = operator.inputs[_WEIGHTS_INPUT[name]]
            index = unpacked.get(index, index)
            tensor = graph.tensors[index]
            data, dtype = model.buffers[tensor.buffer].data, dtypes[tensor.type]
            if data is None or dtype is None or index in counted:
                continue
            counted.add(index)
            values = np.asarray(data, np.uint8).view(dtype).reshape(tensor.shape)
            counts[name] += values.size
            zeros[name] += int(np.count_nonzero(values == _zero_points(tensor)))
    return tuple(Weights(name, counts[name], zeros[name]) for name in sorted(counts))


def _zero_points(tensor: Any) -> npt.NDArray[np.int64]:
    """What stands for zero: one number, or one a channel, shaped to compare with the tensor."""
    quantization = tensor.quantization
    if quantization is None or quantization.zeroPoint is None:
        return np.zeros((), np.int64)
    points: npt.NDArray[np.int64] = np.asarray(quantization.zeroPoint, np.int64)
    if points.size == 1:
        return points.reshape(())
    shape = [1] * len(tensor.shape)
    shape[quantization.quantizedDimension] = points.size
    return points.reshape(shape)
