"""Where a bundle comes from and what can run it, for its manifest."""

import dataclasses
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from edgecap import __version__
from edgecap.manifest import Origin
from edgecap_converter import tflite_file
from edgecap_converter.model import Configuration

if TYPE_CHECKING:
    from edgecap_converter.conversion import Conversion

# The oldest that the default bundle was run on.
OLDEST_LITERT = "2.1.6"
OLDEST_TFLITE_RUNTIME = "2.14.0"


def describe_origin(configuration: Configuration, request: "Conversion") -> Origin:
    """How the bundle was made, from the model's configuration and the export's options."""
    settings = {
        **configuration.training,
        **{f"size_{k}": v for k, v in dataclasses.asdict(configuration.size).items()},
        "calibration_photos": request.calibration_photos,
    }
    return Origin(
        encoder=configuration.encoder,
        decoder=configuration.decoder,
        encoder_compression=request.encoder_compression,
        decoder_compression=request.decoder_compression,
        dataset=configuration.dataset,
        seed=configuration.seed,
        settings=settings,
        versions={
            "edgecap": __version__,
            **{name: version(name) for name in ("numpy", "tensorflow", "tf-keras")},
        },
        commit=_commit(),
    )


def _commit() -> str:
    """The commit of the source tree that runs, "unknown" for an installed package.

    With "-dirty" behind it if the packages that make a bundle have changes beside it.
    """
    here = Path(__file__).parent
    if shutil.which("git") is None:
        return "unknown"
    found = _git(here, "rev-parse", "--short=12", "HEAD")
    if found.returncode != 0:
        return "unknown"
    packages = (f":/{folder}/*.py" for folder in ("edgecap", "runtime", "converter"))
    changed = _git(here, "diff", "--quiet", "HEAD", "--", *packages).returncode != 0
    return found.stdout.strip() + ("-dirty" if changed else "")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def oldest_engines(graphs: Sequence[bytes]) -> dict[str, str]:
    """The oldest version of each engine that runs these TFLite files.

    The converter notes in a file the first TensorFlow whose TFLite knows all its operators;
    tflite-runtime is numbered like TensorFlow. LiteRT is younger than any of them.
    """
    needed = [_minimum_runtime(graph) for graph in graphs]
    newest = max([OLDEST_TFLITE_RUNTIME, *needed], key=_numbers)
    return {"ai-edge-litert": OLDEST_LITERT, "tflite-runtime": newest}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _minimum_runtime(graph: bytes) -> str:
    model = tflite_file.read(graph)
    for entry in model.metadata or []:
        if entry.name == b"min_runtime_version":
            return bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
    return OLDEST_TFLITE_RUNTIME
