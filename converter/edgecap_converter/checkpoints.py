"""Weights as `.npz`: no pickle, no timestamps, the same bytes for the same weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConversionError, UsageError
from edgecap_converter.storage import whole_file

Arrays = dict[str, npt.NDArray[Any]]
_CONFIGURATION = "configuration"


def save(path: Path, arrays: Mapping[str, npt.NDArray[Any]], configuration: Any) -> None:
    """Writes arrays and a JSON-able configuration, whole or not at all.

    Raises:
        ConversionError: if the disk is full or the folder cannot be written.
    """
    text = json.dumps(configuration, sort_keys=True).encode()
    with whole_file(path) as file:
        np.savez(
            file, **{_CONFIGURATION: np.frombuffer(text, np.uint8), **arrays}, allow_pickle=False
        )


def load(path: Path) -> tuple[Arrays, Any]:
    """What `save` wrote: arrays and configuration.

    Raises:
        UsageError: if there is no such file.
        ConversionError: if it is broken.
    """
    if not path.is_file():
        raise UsageError(f"no checkpoint at {path}: give a .npz that edgecap convert wrote")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(arrays.pop(_CONFIGURATION).tobytes())
    except Exception as error:
        # A broken zip, header or deflate stream, each with an exception of its own.
        raise ConversionError(
            f"{path} is not a readable checkpoint ({type(error).__name__}): "
            "give a .npz that edgecap convert wrote"
        ) from error


def weights(models: Sequence[Any]) -> Arrays:
    """Float32 arrays of Keras models by `layer/tensor`."""
    return {
        _name(variable): value
        for model in models
        for variable, value in zip(model.weights, model.get_weights(), strict=True)
    }


def assign(models: Sequence[Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Sets the models' variables; arrays of other names are left alone.

    Raises:
        ConversionError: if one is missing or has another shape.
    """
    for model in models:
        values = []
        for variable in model.weights:
            name, shape = _name(variable), tuple(variable.shape)
            found = arrays[name].shape if name in arrays else "nothing"
            if found != shape:
                raise ConversionError(
                    f"checkpoint: expected {name} of shape {shape}, found {found}: "
                    "it is of another architecture"
                )
            values.append(arrays[name].astype(np.float32))
        model.set_weights(values)


def _name(variable: Any) -> str:
    return str(variable.name).split(":")[0]
