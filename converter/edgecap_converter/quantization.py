"""SavedModel -> TFLite, in a child process: the converter leaks memory and can crash.

The child is `python -m edgecap_converter.quantization` with the arguments of `_child`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecap.errors import ConversionError

FLOAT, FLOAT16 = "float32", "float16"
DYNAMIC_RANGE, FULL_INTEGER = "dynamic-range-int8", "full-int8"


def convert_saved_model(
    saved_model: Path,
    signature: str,
    mode: str,
    calibration: Path | None,
    input_type: str,
    output: Path,
) -> bytes:
    """Converts one signature of a SavedModel in a process of its own.

    Args:
        mode: `FLOAT`; `FLOAT16`: float16 weights; `DYNAMIC_RANGE`: int8 weights, float32 between;
            `FULL_INTEGER`: int8 throughout, float32 outputs.
        calibration: `.npz` of one array an input, first axis the samples; for `FULL_INTEGER`.
        input_type: what the float32 inputs of a `FULL_INTEGER` graph become: uint8 or float32.
        output: where the TFLite file is written.

    Returns:
        The file's content.

    Raises:
        ConversionError: if the converter fails, with its last line.
    """
    command = [sys.executable, "-m", __name__, str(saved_model), signature, mode]
    child = subprocess.run(
        [*command, str(calibration or ""), input_type, str(output)],
        capture_output=True, text=True, errors="replace", check=False,
        env=_environment(),
    )  # fmt: skip
    if child.returncode != 0 or not output.is_file():
        lines = [line for line in child.stderr.splitlines() if line.strip()]
        reason = lines[-1][:300] if lines else f"exit status {child.returncode}"
        raise ConversionError(f"TFLite conversion to {mode} failed ({reason})")
    return output.read_bytes()


def _environment() -> dict[str, str]:
    """The child finds our packages where this process found them, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _samples(calibration: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
    with np.load(calibration, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for index in range(len(next(iter(arrays.values())))):
        yield {name: array[index : index + 1] for name, array in arrays.items()}


def _child(
    saved_model: str, signature: str, mode: str, calibration: str, input_type: str, output: str
) -> None:
    from edgecap_converter.frameworks import import_tensorflow

    tensorflow = import_tensorflow()
    lite = tensorflow.lite
    converter = lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[signature])
    # tflite-runtime 2.14 knows no dense layer with a scale for each channel (version 12).
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if mode != FLOAT:
        converter.optimizations = [lite.Optimize.DEFAULT]
    if mode == FLOAT16:
        converter.target_spec.supported_types = [tensorflow.float16]
    if mode == FULL_INTEGER:
        converter.representative_dataset = lambda: (
            (signature, sample) for sample in _samples(Path(calibration))
        )
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tensorflow.dtypes.as_dtype(input_type)
        converter.inference_output_type = tensorflow.float32
    Path(output).write_bytes(converter.convert())


if __name__ == "__main__":
    _child(*sys.argv[1:])
