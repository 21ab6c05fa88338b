"""Pretrained weights of an encoder: from a file, or from Keras's own download."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from edgecap.errors import ConversionError, UsageError
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import forget_names, import_tensorflow

RANDOM = "random"
FOLDER_VARIABLE = "EDGECAP_WEIGHTS"


def load_network(encoder: Encoder, source: str | None, seed: int) -> tuple[Any, str]:
    """The encoder's network with its weights.

    Args:
        source: a `.npz` file of arrays named `layer/tensor`; `"random"` for weights drawn from
            `seed` (for measuring size and time: they know nothing); None to look for
            `$EDGECAP_WEIGHTS/NAME.npz`, then let Keras download its own.

    Returns:
        The Keras model and the SHA-256 of its weights.

    Raises:
        UsageError: if the file is missing.
        ConversionError: if the file does not fit the network, or no weights can be had.
    """
    if source == RANDOM:
        import_tensorflow().keras.utils.set_random_seed(seed)
        network = encoder.network()
    elif (path := _find_file(encoder, source)) is not None:
        network = encoder.network()
        assign_weights(network, path)
    else:
        network = _download(encoder)
    network.trainable = False
    return network, weights_sha256(network)


def _find_file(encoder: Encoder, source: str | None) -> Path | None:
    if source is not None:
        path = Path(source)
        if not path.is_file():
            raise UsageError(
                f"no weights at {source}: give a .npz file with --encoder-weights, "
                f"or '{RANDOM}' to measure size and time alone"
            )
        return path
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and (path := Path(folder) / f"{encoder.name}.npz").is_file():
        return path
    return None


def _download(encoder: Encoder) -> Any:
    ways = f"--encoder-weights FILE with a .npz of {encoder.name}, or {FOLDER_VARIABLE}=FOLDER"
    if encoder.download is None:
        raise ConversionError(f"Keras has no download of {encoder.name}: use {ways}")
    forget_names()
    try:
        return encoder.download(encoder.side)
    except Exception as error:
        # Keras lets whatever its download met through: URLError, bare Exception, ValueError.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConversionError(
            f"Keras could not download {encoder.name} ({reason[:120]}): "
            f"connect to the network and try again, or use {ways}"
        ) from error


def assign_weights(network: Any, path: Path) -> None:
    """Sets every variable of the network from `layer/tensor` arrays.

    Raises:
        ConversionError: for a file that cannot be read, a missing array, a wrong shape, an
            array too many or a value that is not finite.
    """
    try:
        # Pickled arrays could run code: refused by numpy unless asked for.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:
        # A broken zip, header or deflate stream, each with an exception of its own.
        raise ConversionError(
            f"{path} is not a readable .npz of weights ({type(error).__name__}): get it again"
        ) from error
    unused = set(arrays)
    for layer in network.layers:
        values = []
        for variable in layer.weights:
            name = _array_name(layer.name, variable.name)
            if name not in arrays:
                raise ConversionError(f"{path} has no {name}: these are another network's weights")
            value = arrays[name].astype(np.float32)
            if value.shape != tuple(variable.shape):
                raise ConversionError(
                    f"{path}: {name} has shape {value.shape}, the network {tuple(variable.shape)}: "
                    "these are another network's weights"
                )
            if not np.isfinite(value).all():
                raise ConversionError(f"{path}: {name} holds values that are not finite")
            values.append(value)
            unused.discard(name)
        layer.set_weights(values)
    if unused:
        raise ConversionError(
            f"{path} also holds {sorted(unused)[0]}: these are another network's weights"
        )


def weights_sha256(network: Any) -> str:
    """SHA-256 over names and float32 values of all variables, in the network's order."""
    digest = hashlib.sha256()
    for layer in network.layers:
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
            digest.update(_array_name(layer.name, variable.name).encode())
            digest.update(np.asarray(value, dtype=np.float32).tobytes())
    return digest.hexdigest()


def _array_name(layer: str, variable: str) -> str:
    # Keras spells "layer/depthwise_kernel:0", the files "layer/kernel".
    tensor = variable.rsplit("/", 1)[-1].split(":")[0]
    return f"{layer}/{tensor.removeprefix('depthwise_')}"
