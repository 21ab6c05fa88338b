"""The files that the paper's pipelines run from, made once and kept in a working folder.

Every file is made in a process of its own (`python -m paper.their_files`), since the converter
leaks and a VGG16 takes gigabytes. The weights are random: `SEED` decides them, and the folder's
name says what else they depend on.
"""

import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecap.datasets import CaptionedPhoto
from edgecap.errors import ConversionError
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.progress import say
from edgecap_converter.storage import whole_file
from paper import their_networks
from paper.processes import run_module
from paper.their_pipeline import KERAS_FILE, load_photo, preprocess
from paper.their_text import LONGEST, Floats, TheirTokenizer, frame

SEED = 0
WORDS = "words.json"
CALIBRATION = "calibration.npz"
CALIBRATION_PHOTOS = 32

FLOAT, DYNAMIC_RANGE, FULL_INTEGER = "float32", "dynamic-range-int8", "full-int8"


def network_file(network: str, mode: str | None) -> str:
    """The name of a network's Keras file, or of its TFLite file in one of the modes."""
    return f"{network}{KERAS_FILE}" if mode is None else f"{network}-{mode}.tflite"


def prepare(photos: Sequence[CaptionedPhoto], work: Path, side: int) -> Path:
    """The folder for the files, with the words and the calibration photos in it.

    Args:
        photos: the train split; its captions give the words, its first photos calibrate.
        work: where the folder is.
        side: of the photos that VGG16 takes, in pixels.

    Raises:
        ConversionError: if the folder cannot be written.
    """
    tokenizer = TheirTokenizer.fit(frame(text) for photo in photos for text in photo.captions)
    version = importlib.metadata.version("tensorflow")
    folder = work / f"theirs-{side}-{tokenizer.vocabulary}-seed{SEED}-tensorflow{version}"
    if not (folder / WORDS).exists():
        with whole_file(folder / WORDS) as file:
            file.write(tokenizer.to_json())
    if not (folder / CALIBRATION).exists():
        chosen = photos[:CALIBRATION_PHOTOS]
        samples = np.concatenate([preprocess(load_photo(one.path, side)) for one in chosen])
        with whole_file(folder / CALIBRATION) as file:
            np.savez(file, photo=samples)
    return folder


def make(folder: Path, names: Iterable[str], side: int) -> dict[str, str]:
    """Makes what is missing of the named files; for each that cannot be made, why.

    Args:
        folder: from `prepare`, with the same `side`.
        names: from `network_file`, or `WORDS`.
    """
    failures = {}
    for name in names:
        network = name.partition(".")[0].partition("-")[0]
        try:
            # The TFLite files are made from the Keras file.
            for one in (network_file(network, None), name):
                if name != WORDS and not (folder / one).exists():
                    _make_one(folder, one, side)
        except ConversionError as error:
            failures[name] = str(error)
    return failures


def _make_one(folder: Path, name: str, side: int) -> None:
    say(f"making {folder / name}")
    reason = run_module(__name__, folder, name, side)
    if reason is not None:
        raise ConversionError(f"{name} could not be made ({reason})")


def _child(folder: Path, name: str, side: int) -> None:
    network, _, mode = name.partition(".")[0].partition("-")
    if not mode:
        _save(_build(folder, network, side), folder / name)
        return
    content = _convert(folder, network, mode)
    with whole_file(folder / name) as file:
        file.write(content)


def _build(folder: Path, network: str, side: int) -> Any:
    import_tensorflow().keras.utils.set_random_seed(SEED)
    if network == "vgg16":
        return their_networks.vgg16(side)
    vocabulary = TheirTokenizer.from_json((folder / WORDS).read_bytes()).vocabulary
    return their_networks.merge(their_networks.FC2, LONGEST, vocabulary)


def _save(model: Any, path: Path) -> None:
    partial = path.with_name(f".partial-{path.name}")
    model.save(partial)
    partial.replace(path)


def _convert(folder: Path, network: str, mode: str) -> bytes:
    """Their converter's call; `FLOAT` is theirs as it was, without `optimizations`.

    The batch is fixed at 1: with a free one the masked LSTM does not convert.
    """
    tensorflow = import_tensorflow()
    lite = tensorflow.lite
    model = tensorflow.keras.models.load_model(folder / network_file(network, None), compile=False)
    signature = [
        tensorflow.TensorSpec((1, *one.shape[1:]), tensorflow.float32, name=one.name)
        for one in model.inputs
    ]

    @tensorflow.function(autograph=False, input_signature=signature)  # type: ignore[untyped-decorator]
    def run(*inputs: Any) -> Any:
        return model(list(inputs), training=False)

    converter = lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], model)
    if mode != FLOAT:
        converter.optimizations = [lite.Optimize.DEFAULT]
    if mode == FULL_INTEGER:
        converter.representative_dataset = lambda: _samples(folder)
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
    content: bytes = converter.convert()
    return content


def _samples(folder: Path) -> Iterator[list[Floats]]:
    with np.load(folder / CALIBRATION, allow_pickle=False) as file:
        photos = file["photo"]
    for photo in photos:
        yield [photo[np.newaxis]]


if __name__ == "__main__":
    _child(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
