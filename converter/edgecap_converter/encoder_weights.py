"""Pretrained weights of an encoder: from a file, or from Keras's own download."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConversionError, UsageError
from edgecap_converter.encoders import Encoder
from edgecap_converter.frameworks import forget_names, import_tensorflow

RANDOM = "random"
FOLDER_VARIABLE = "EDGECAP_WEIGHTS"


def load_network(encoder: Encoder, source: str | None, seed: int) -> tuple[Any, str]:
    """The encoder's network with its weights.

    Args:
        source: a file that `assign_weights` reads; `"random"` for weights drawn from `seed` (for
            measuring size and time: they know nothing); None to look for
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
    else:
        path = _find_file(encoder, source)
        if path is None:
            network = _download(encoder)
        else:
            network = encoder.network()
            assign_weights(network, path, encoder.beyond)
        if encoder.bgr_layer is not None:
            _turn_to_rgb(network.get_layer(encoder.bgr_layer))
    network.trainable = False
    return network, weights_sha256(network)


def _find_file(encoder: Encoder, source: str | None) -> Path | None:
    if source is not None:
        path = Path(source)
        if not path.is_file():
            raise UsageError(
                f"no weights at {source}: give a .npz or .h5 file with --encoder-weights, "
                f"or '{RANDOM}' to measure size and time alone"
            )
        return path
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and (path := Path(folder) / f"{encoder.name}.npz").is_file():
        return path
    return None


def _download(encoder: Encoder) -> Any:
    ways = (
        f"--encoder-weights FILE with a .npz or .h5 of {encoder.name}, or {FOLDER_VARIABLE}=FOLDER"
    )
    if encoder.download is None:
        raise ConversionError(f"Keras has no download of {encoder.name}: use {ways}")
    forget_names()
    try:
        # Keras tells standard output how far it is.
        with contextlib.redirect_stdout(sys.stderr):
            return encoder.download(encoder.side)
    except Exception as error:
        # Keras lets whatever its download met through: URLError, bare Exception, ValueError.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConversionError(
            f"Keras could not download {encoder.name} ({reason[:120]}): "
            f"connect to the network and try again, or use {ways}"
        ) from error


def _turn_to_rgb(layer: Any) -> None:
    kernel, *others = layer.get_weights()
    layer.set_weights([kernel[:, :, ::-1], *others])


def assign_weights(network: Any, path: Path, beyond: Sequence[str] = ()) -> None:
    """Sets every variable of the network from a file of weights.

    Args:
        path: `.npz` of arrays named `layer/tensor`, or HDF5 as Keras 2 (`.h5`) or Keras 3
            (`.h5`, `.weights.h5`) writes weights or a whole model; its layers by name.
        beyond: how the names of layers begin that the file may have and the network has not.

    Raises:
        ConversionError: for a file that cannot be read, a missing array, a wrong shape, an
            array too many or a value that is not finite.
    """
    arrays = _read(path, network)
    unused = {name for name in arrays if not name.startswith(tuple(beyond))}
    remedy = f"give the weights of {network.name}"
    for layer in network.layers:
        values = []
        for variable in layer.weights:
            name, shape = _array_name(layer.name, variable.name), tuple(variable.shape)
            if name not in arrays:
                raise ConversionError(f"{path} has no {name}, expected of shape {shape}: {remedy}")
            value = arrays[name].astype(np.float32)
            if value.shape != shape:
                raise ConversionError(
                    f"{path}: {name} has shape {value.shape}, expected {shape}: {remedy}"
                )
            if not np.isfinite(value).all():
                raise ConversionError(f"{path}: {name} holds values that are not finite: {remedy}")
            values.append(value)
            unused.discard(name)
        layer.set_weights(values)
    if unused:
        raise ConversionError(f"{path} also holds {min(unused)}: {remedy}")


def _read(path: Path, network: Any) -> dict[str, npt.NDArray[np.float32]]:
    """The file's arrays by `layer/tensor`."""
    import h5py

    try:
        arrays = _read_hdf5(path, network) if h5py.is_hdf5(path) else _read_npz(path)
        return {name: np.asarray(array, np.float32) for name, array in arrays}
    except Exception as error:
        # A broken zip, header or deflate stream, each with an exception of its own.
        raise ConversionError(
            f"{path} is not a readable .npz, or .h5 of Keras with names of layers, of weights "
            f"({type(error).__name__}): get it again"
        ) from error


def _read_npz(path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    # Pickled arrays could run code: refused by numpy unless asked for.
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            yield name, file[name]


def _read_hdf5(path: Path, network: Any) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    import h5py

    # Tensors have other names in each Keras, or none: their order in a layer is what stays.
    known = {
        layer.name: [_array_name(layer.name, variable.name) for variable in layer.weights]
        for layer in network.layers
    }
    with h5py.File(path) as file:
        for layer, tensors in _hdf5_layers(file):
            names = known.get(layer, [])
            for index, tensor in enumerate(tensors):
                yield names[index] if index < len(names) else f"{layer}/{index}", tensor[()]


def _hdf5_layers(file: Any) -> Iterator[tuple[str, list[Any]]]:
    """Name and tensors of each layer, from any of Keras's layouts that hold the names."""
    whole = file.get("model_weights", file)
    if "layer_names" in whole.attrs:
        for layer, group in whole.items():
            yield layer, [group[name] for name in group.attrs["weight_names"]]
    else:
        for group in file["layers"].values():
            tensors = group["vars"]
            yield tensors.attrs["name"], [tensors[str(index)] for index in range(len(tensors))]


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
