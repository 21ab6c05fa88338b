"""Makes the tiny bundle that the tests run on, through the production conversion.

    python tests/data/make_tiny_bundle.py

writes `tiny.edgecap`, its checkpoint `tiny.npz`, and `tiny.json`: what the Keras model says of
drawn pictures. Three small convolutions look at 32 x 32 pixels; they stay as they were drawn,
the decoder is trained on drawn shapes. Needs the extra `convert`.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / part) for part in (".", "converter", "runtime", "tests")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from shapes import gallery, write_corpus  # noqa: E402

from edgecap import image  # noqa: E402
from edgecap_converter.conversion import Conversion, convert  # noqa: E402
from edgecap_converter.encoders import ENCODERS, Encoder  # noqa: E402
from edgecap_converter.features import RESAMPLING  # noqa: E402
from edgecap_converter.frameworks import import_tensorflow  # noqa: E402
from edgecap_converter.model import Model  # noqa: E402
from edgecap_converter.plan import (  # noqa: E402
    PRESETS,
    DecoderSize,
    TrainingSettings,
)
from edgecap_converter.search import GreedySearch  # noqa: E402


def build_tiny(side: int) -> Any:
    """Three strided convolutions to a 4 x 4 grid of 48 features."""
    keras = import_tensorflow().keras
    photo = keras.layers.Input((side, side, 3), name="normalized")
    tensor = photo
    for index, width in enumerate((16, 32, 48)):
        tensor = keras.layers.Conv2D(
            width, 3, strides=2, padding="same", activation="relu", name=f"conv_{index}"
        )(tensor)
    return keras.Model(photo, tensor, name="tiny")


TINY = Encoder("tiny", 32, 127.0, 128.0, build_tiny, None, "Apache-2.0")


def tiny_conversion(data: Path, output: Path, work: Path, decoder: str = "attention") -> Conversion:
    """What makes the tiny bundle; tests make variants of it."""
    ENCODERS[TINY.name] = TINY
    return Conversion(
        data=data,
        output=output,
        work=work,
        plan=dataclasses.replace(
            PRESETS["frozen"],
            encoder=TINY.name,
            decoder=decoder,
            size=DecoderSize(features=32, attention=32, embedding=32, hidden=64),
            maximum_words=12,
            training=TrainingSettings(epochs=30, batch=50, learning_rate=1e-2, dropout=0.1),
        ),
        encoder_weights="random",
        calibration_photos=64,
        maximum_quality_loss=100.0,
        licence="Apache-2.0",
    )


def keras_captions(checkpoint: Path, pictures: list[Image.Image]) -> list[str]:
    """What the float Keras model says of pictures."""
    ENCODERS[TINY.name] = TINY
    model = Model.load(checkpoint)
    photos = np.stack([image.load(p, TINY.side, TINY.side, RESAMPLING) for p in pictures])
    features = model.network(TINY.normalize(photos)).numpy()
    search = GreedySearch(model.decoder, model.tokenizer, model.configuration.maximum_words)
    return search.captions(features)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        corpus = write_corpus(work / "shapes", train=600, dev=60)
        convert(tiny_conversion(corpus, HERE / "tiny.edgecap", work / "work"))
        (checkpoint,) = (work / "work").glob("training-*/model.npz")
        shutil.copyfile(checkpoint, HERE / "tiny.npz")
    captions = keras_captions(HERE / "tiny.npz", [picture for _, picture in gallery()])
    expected = {name: caption for (name, _), caption in zip(gallery(), captions, strict=True)}
    (HERE / "tiny.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
