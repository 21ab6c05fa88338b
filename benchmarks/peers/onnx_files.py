"""One ONNX file from another: `python -m peers.onnx_files ACTION SOURCE TARGET`.

Runs in the environment `conversion`. The actions are the keys of `ACTIONS`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

NEXT_STATE = "next_state"
"""The decoder's state after a word: in ONNX an output has not the name of an input."""
CALIBRATION = "calibration.npy"
"""Photos beside the encoder, uint8 `(photos, height, width, 3)`."""


def as_float(source: Path, target: Path) -> None:
    """Without the rounding of activations, which the conversion to float leaves before products."""
    import onnx

    model = onnx.load(source)
    nodes = list(model.graph.node)
    rounded = {
        one.output[0]: one.input[0] for one in nodes if one.op_type == "DynamicQuantizeLinear"
    }
    restored = {
        one.output[0]: rounded[one.input[0]]
        for one in nodes
        if one.op_type == "DequantizeLinear" and one.input[0] in rounded
    }
    gone = rounded.keys() | restored.keys()
    kept = [one for one in nodes if one.output[0] not in gone]
    for one in kept:
        one.input[:] = [restored.get(name, name) for name in one.input]
    left = {one.op_type for one in kept if "Quantize" in one.op_type}
    if left:
        sys.exit(f"{source.name} is not float: {', '.join(sorted(left))} are left in it")
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def quantize_encoder(source: Path, target: Path) -> None:
    """Full int8, calibrated: pairs of QuantizeLinear and DequantizeLinear, a scale a channel."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_name(f"prepared-{target.name}")
    try:
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            _photos(np.load(source.with_name(CALIBRATION))),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    finally:
        prepared.unlink(missing_ok=True)


def quantize_decoder(source: Path, target: Path) -> None:
    """int8 weights, activations quantized as they come: as edgecap's own decoder."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(source, target, weight_type=quantization.QuantType.QInt8)


def _photos(photos: Any) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Photos(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(photos)

        def get_next(self) -> dict[str, Any] | None:
            photo = next(self._left, None)
            return None if photo is None else {"photo": photo[np.newaxis]}

    return Photos()


ACTIONS: dict[str, Callable[[Path, Path], None]] = {
    "as-float": as_float,
    "quantize-encoder": quantize_encoder,
    "quantize-decoder": quantize_decoder,
}


def main(action: str, source: str, target: str) -> None:
    whole = Path(target)
    partial = whole.with_name(f".partial-{whole.name}")
    ACTIONS[action](Path(source), partial)
    partial.replace(whole)


if __name__ == "__main__":
    main(*sys.argv[1:])
