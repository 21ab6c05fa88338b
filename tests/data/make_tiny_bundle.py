"""Makes the tiny bundle that the tests run on, through the production conversion.

    python tests/data/make_tiny_bundle.py

writes `tiny.edgecap` (a folder) and `tiny.json`: drawn pictures' captions by the Keras model.
Three small convolutions look at 32 x 32 pixels; they stay as they were drawn, the decoder is
trained on drawn shapes. Needs the extra `convert`.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / part) for part in (".", "converter", "runtime", "tests")]

from shapes import write_corpus  # noqa: E402

from edgecap_converter.conversion import Conversion, convert  # noqa: E402
from edgecap_converter.decoders import DecoderSize  # noqa: E402
from edgecap_converter.encoders import ENCODERS, Encoder  # noqa: E402
from edgecap_converter.frameworks import import_tensorflow  # noqa: E402
from edgecap_converter.training import TrainingSettings  # noqa: E402


def build_tiny(side: int) -> Any:
    """Three strided convolutions to a 4 x 4 grid of 16 features."""
    keras = import_tensorflow().keras
    photo = keras.layers.Input((side, side, 3), name="normalized")
    tensor = photo
    for index, width in enumerate((8, 16, 16)):
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
        encoder=TINY.name,
        encoder_weights="random",
        decoder=decoder,
        size=DecoderSize(features=32, attention=32, embedding=32, hidden=64),
        training=TrainingSettings(epochs=12, batch=50, learning_rate=1e-2, dropout=0.1,
                                  maximum_words=12),
        calibration_photos=64,
        maximum_quality_loss=100.0,
        licence="Apache-2.0",
    )  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        corpus = write_corpus(work / "shapes", train=400, dev=60)
        convert(tiny_conversion(corpus, HERE / "tiny.edgecap", work / "work"))


if __name__ == "__main__":
    main()
