"""The files that the peers run from, made once and kept in a working folder.

Every file is made in a process and an environment of its own. The same seed, bundle and versions
give the same files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecap import image, schema
from edgecap.bundle import Bundle
from edgecap.datasets import CaptionedPhoto, select
from edgecap.errors import ConversionError
from edgecap.manifest import DECODER, ENCODER, TOKENIZER
from edgecap_converter.frameworks import require_extra
from edgecap_converter.progress import say
from edgecap_converter.storage import whole_file
from paper import their_files
from paper.their_networks import SIDE
from peers.architectures import architectures
from peers.environments import Environment, short_hash
from peers.onnx_files import CALIBRATION, NEXT_STATE

CALIBRATION_PHOTOS = 64
"""Of the train split, as many as the default bundle's int8 encoder was calibrated with."""
# Opset 17 is the last that needs nothing of what tf2onnx does not know.
_OPSET = 17

FLOAT, INT8 = "float32", "int8"
"""The bundle's weights in float32, and these quantized anew by ONNX Runtime's own tools."""


@dataclass(frozen=True)
class OnnxFiles:
    """The default bundle's graphs as ONNX files.

    Args:
        bundle: a bundle's folder.
        folder: for the files.
        conversion: the environment.
    """

    bundle: Path
    folder: Path
    conversion: Environment

    def make(self, mode: str, train: Sequence[CaptionedPhoto]) -> tuple[Path, ...]:
        """Encoder, decoder and words in one of the modes.

        Args:
            train: photos to calibrate with.

        Raises:
            ConversionError: if one cannot be made.
        """
        self._write_calibration(train[:CALIBRATION_PHOTOS])
        words = self.folder / TOKENIZER
        if not words.exists():
            with whole_file(words) as file:
                file.write((self.bundle / TOKENIZER).read_bytes())
        return (self._half(ENCODER, mode), self._half(DECODER, mode), words)

    def _half(self, member: str, mode: str) -> Path:
        half = Path(member).stem
        path = self.folder / f"{half}-{mode}.onnx"
        if path.exists():
            return path
        say(f"making {path}")
        if mode == FLOAT:
            rounding = self.folder / f"rounding-{path.name}"
            self._convert(member, rounding)
            self._run("peers.onnx_files", "as-float", rounding, path)
            rounding.unlink()
        else:
            source = self._half(member, FLOAT)
            self._run("peers.onnx_files", f"quantize-{half}", source, path)
        return path

    def _convert(self, member: str, path: Path) -> None:
        """A graph with float weights, its tensors named as in its signature."""
        manifest = Bundle.open(self.bundle).manifest
        graph = manifest.encoder if member == ENCODER else manifest.decoder
        inputs, outputs = self._tensors(member, graph.signature)
        renamed = [NEXT_STATE if one in inputs else one for one in outputs]
        self._run(
            "tf2onnx.convert", "--tflite", self.bundle / member, "--output", path,
            "--opset", _OPSET, "--dequantize",
            "--inputs", ",".join(inputs.values()), "--rename-inputs", ",".join(inputs),
            "--outputs", ",".join(outputs.values()), "--rename-outputs", ",".join(renamed),
        )  # fmt: skip

    def _tensors(self, member: str, signature: str) -> tuple[dict[str, str], dict[str, str]]:
        """A graph's inputs and outputs: the signature's names, and those in the graph."""
        from edgecap_runtime.interpreter import find_engine

        interpreter = find_engine().interpreter(model_path=str(self.bundle / member))
        runner = interpreter.get_signature_runner(signature)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        return tuple(
            {name: one["name"] for name, one in side.items()} for side in (inputs, outputs)
        )  # type: ignore[return-value]

    def _run(self, module: str, *arguments: object) -> None:
        reason = self.conversion.run(module, *arguments)
        if reason is not None:
            raise ConversionError(f"the ONNX graphs could not be made ({module}: {reason})")

    def _write_calibration(self, photos: Sequence[CaptionedPhoto]) -> None:
        path = self.folder / CALIBRATION
        if not path.exists():
            expected = Bundle.open(self.bundle).manifest.input
            size = (expected.width, expected.height, expected.resampling)
            with whole_file(path) as file:
                np.save(file, np.stack([image.load(one.path, *size) for one in photos]))


def random_weights(name: str, work: Path, torch: Environment) -> tuple[Path, ...]:
    """The files of a model of `architectures.json`.

    Raises:
        ConversionError: if they cannot be made.
    """
    content = schema.canonical(schema.to_value(architectures()[name]))
    folder = work / f"torch-{short_hash(content + torch.version.encode())}" / name
    if not folder.exists():
        say(f"making {folder}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        reason = torch.run("peers.torch_files", name, folder)
        if reason is not None:
            raise ConversionError(f"{name} could not be made ({reason})")
    return tuple(sorted(folder.iterdir()))


def keras_files(photos: Sequence[CaptionedPhoto], work: Path) -> tuple[Path, ...]:
    """Encoder, decoder and words of the paper's pipeline in Keras, as `paper` makes them.

    Raises:
        MissingExtraError: if TensorFlow, which makes them, is not in this environment.
        ConversionError: if one cannot be made.
    """
    require_extra()
    folder = their_files.prepare(select(photos, "train"), work, SIDE)
    names = [their_files.network_file(one, None) for one in ("vgg16", "merge")]
    names.append(their_files.WORDS)
    for reason in their_files.make(folder, names, SIDE).values():
        raise ConversionError(reason)
    return tuple(folder / name for name in names)
