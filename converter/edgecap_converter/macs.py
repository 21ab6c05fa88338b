"""Multiply-accumulates of a graph, counted from its static shapes."""

import math
from typing import Any


def multiply_accumulates(concrete_function: Any) -> int:
    """Multiplications of convolutions and matrix products in one call; the rest is not counted.

    A convolution makes one multiplication for each weight of an output channel's filter at each
    output value, a depthwise one only those of its own channel, a matrix product one for each
    inner index.
    """
    total = 0
    for operation in concrete_function.graph.get_operations():
        if not operation.outputs:
            continue
        outputs = math.prod(operation.outputs[0].shape.as_list() or [0])
        if operation.type == "Conv2D":
            height, width, channels, _ = operation.inputs[1].shape.as_list()
            total += outputs * height * width * channels
        elif operation.type == "DepthwiseConv2dNative":
            height, width, _, _ = operation.inputs[1].shape.as_list()
            total += outputs * height * width
        elif operation.type in ("MatMul", "BatchMatMulV2"):
            inner = operation.inputs[0].shape.as_list()
            transposed = operation.type == "MatMul" and operation.get_attr("transpose_a")
            total += outputs * inner[-2 if transposed else -1]
    return total
