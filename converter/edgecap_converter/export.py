"""Keras models -> the two TFLite graphs of a bundle, and their description for the manifest.

Letters: `N` calibration photos, `D` encoder's feature width, `S` decoder's state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConversionError
from edgecap.manifest import Graph, Tensor
from edgecap_converter import quantization
from edgecap_converter.decoders import Decoder
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.macs import multiply_accumulates

ENCODE, STEP = "encode", "step"


@dataclass(frozen=True)
class Exported:
    """One TFLite file and what the manifest says of it."""

    content: bytes
    graph: Graph


def export_encoder(
    encoder: Encoder,
    network: Any,
    decoder: Decoder,
    photos: npt.NDArray[np.uint8],
    mode: str,
    folder: Path,
) -> Exported:
    """Encoder and the decoder's projection as one graph, uint8 photo in, float32 out.

    Args:
        photos: calibration photos `(N, side, side, 3)`.
        mode: a mode of `quantization`.
        folder: for intermediate files.

    Raises:
        ConversionError: if there are no photos, or the converter fails.
    """
    if mode == quantization.FULL_INTEGER and len(photos) == 0:
        raise ConversionError("full-integer quantization needs calibration photos: none were given")
    tensorflow = import_tensorflow()
    shape = (1, encoder.side, encoder.side, 3)
    quantized_input = mode == quantization.FULL_INTEGER
    dtype = tensorflow.float32 if quantized_input else tensorflow.uint8

    @tensorflow.function(  # type: ignore[untyped-decorator]
        autograph=False, input_signature=[tensorflow.TensorSpec(shape, dtype, name="photo")]
    )
    def encode(photo: Any) -> Any:
        normalized = photo if quantized_input else encoder.normalize(photo)
        return decoder.photo(network(normalized, training=False))

    calibration = None
    if quantized_input:
        calibration = folder / "encoder-calibration.npz"
        np.savez(calibration, photo=_normalized_with_extremes(encoder, photos))
    content = _convert((network, *decoder.models), encode, ENCODE, mode, calibration, folder)
    return Exported(content, _describe(encode, ENCODE, {"photo": "uint8"}))


def _normalized_with_extremes(
    encoder: Encoder, photos: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Float32 photos whose values reach both ends of the range.

    The input's scale is then the encoder's own normalization, exactly, whatever the photos.
    """
    samples = photos.copy()
    samples[0, 0, 0], samples[0, 0, 1] = 0, 255
    return ((samples.astype(np.float32) - encoder.offset) / encoder.scale).astype(np.float32)


def export_decoder(decoder: Decoder, mode: str, folder: Path) -> Exported:
    """The decoder's step as one graph: token, state and photo tensors in, scores and state out.

    Raises:
        ConversionError: if the converter fails.
    """
    tensorflow = import_tensorflow()
    photo_shapes = {name: (1, *t.shape[1:]) for name, t in decoder.projection.output.items()}
    signature = {"token": tensorflow.TensorSpec((1,), tensorflow.int32, name="token")} | {
        name: tensorflow.TensorSpec(shape, tensorflow.float32, name=name)
        for name, shape in photo_shapes.items()
    }

    @tensorflow.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(token: Any, **photo: Any) -> Any:
        scores, state = decoder.step(token, photo)
        return {"scores": scores, "state": state}

    concrete = step.get_concrete_function(**signature)
    content = _convert(decoder.models, concrete, STEP, mode, None, folder)
    return Exported(content, _describe(concrete, STEP, {}))


def _convert(
    models: tuple[Any, ...],
    function: Any,
    signature: str,
    mode: str,
    calibration: Path | None,
    folder: Path,
) -> bytes:
    tensorflow = import_tensorflow()
    module = tensorflow.Module()
    # A SavedModel holds only what it can reach: here the variables that the function reads.
    module.weights = [variable for model in models for variable in model.weights]
    saved = folder / f"{signature}-saved-model"
    tensorflow.saved_model.save(module, str(saved), signatures={signature: function})
    output = folder / f"{signature}.tflite"
    return quantization.convert_saved_model(saved, signature, mode, calibration, output)


def _describe(function: Any, signature: str, types: Mapping[str, str]) -> Graph:
    """Names, shapes and types of a graph's signature; `types` where conversion changes them."""
    concrete = function if hasattr(function, "graph") else function.get_concrete_function()

    def tensor(name: str, spec: Any) -> Tensor:
        return Tensor(name, tuple(int(s) for s in spec.shape), types.get(name, spec.dtype.name))

    positional, named = concrete.structured_input_signature
    inputs = sorted({spec.name: spec for spec in positional}.items() | named.items())
    outputs = sorted(concrete.structured_outputs.items())
    return Graph(
        signature,
        tuple(tensor(name, spec) for name, spec in inputs),
        tuple(tensor(name, spec) for name, spec in outputs),
        multiply_accumulates(concrete),
    )
