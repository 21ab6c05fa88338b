"""Keras models -> the two TFLite graphs of a bundle, and their description for the manifest.

Letters: `N` calibration photos, `D` encoder's feature width, `S` decoder's state.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.manifest import Graph, Tensor
from edgecap_converter import quantization
from edgecap_converter.calibration import decoder_samples, encoder_samples
from edgecap_converter.checkpoints import Arrays
from edgecap_converter.decoders import Decoder
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.macs import multiply_accumulates
from edgecap_converter.storage import cannot_write
from edgecap_converter.tflite_file import count_weights

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
        photos: calibration photos `(N, side, side, 3)`, at least one for `FULL_INTEGER`.
        mode: a mode of `quantization`.
        folder: for intermediate files.

    Raises:
        ConversionError: if the disk is full, or the converter fails.
    """
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

    samples = None
    if quantized_input:
        samples = encoder_samples(encoder, photos)
    models = (network, *decoder.models)
    return _export(models, encode, ENCODE, mode, samples, folder, {"photo": "uint8"})


def export_decoder(
    decoder: Decoder, mode: str, folder: Path, grid: npt.NDArray[np.floating] | None = None
) -> Exported:
    """The decoder's step as one graph: token, state and photo tensors in, scores and state out.

    Args:
        mode: a mode of `quantization`.
        folder: for intermediate files.
        grid: features of calibration photos `(N, height, width, D)`, at least one, for
            `FULL_INTEGER`; None for other modes.

    Raises:
        ConversionError: if the disk is full, or the converter fails.
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
    samples = None if grid is None else decoder_samples(decoder, grid)
    return _export(decoder.models, concrete, STEP, mode, samples, folder, {})


def _export(
    models: tuple[Any, ...],
    function: Any,
    signature: str,
    mode: str,
    samples: Arrays | None,
    folder: Path,
    types: Mapping[str, str],
) -> Exported:
    """Converts a function of these models; `types` where that changes an input's type."""
    tensorflow = import_tensorflow()
    module = tensorflow.Module()
    # A SavedModel holds only what it can reach: here the variables that the function reads.
    module.weights = [variable for model in models for variable in model.weights]
    saved, output = folder / f"{signature}-saved-model", folder / f"{signature}.tflite"
    calibration = None
    try:
        tensorflow.saved_model.save(module, str(saved), signatures={signature: function})
        if samples is not None:
            calibration = folder / f"{signature}-calibration.npz"
            np.savez(calibration, **samples, allow_pickle=False)
    except (OSError, tensorflow.errors.OpError) as error:
        raise cannot_write(folder.parent, error) from error
    input_type = types.get("photo", "float32")
    content = quantization.convert_saved_model(
        saved, signature, mode, calibration, input_type, output
    )
    graph = _describe(function, signature, types)
    return Exported(content, dataclasses.replace(graph, weights=count_weights(content)))


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
