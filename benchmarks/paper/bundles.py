"""The bundles of edgecap that stand beside the paper's systems, made by `edgecap convert`.

Those of `resnet50_conv4` are trained on the corpus. Those of VGG16 have random weights, which say
nothing: they go through the same conversion on a corpus of a few photos.
"""

import itertools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecap.datasets import CaptionedPhoto
from edgecap.errors import ConversionError
from edgecap.tokenizer import SPECIAL_TOKENS
from edgecap_converter.progress import say
from edgecap_converter.storage import whole_file
from paper.processes import run_module
from paper.record import Halves
from paper.systems import System
from paper.their_text import TheirTokenizer, frame

# The paper's decoder: 256 units wide everywhere, every word of the captions known.
MERGE = ("--preset", "paper")
VOCABULARY = 7_579
"""Words of the paper's decoder, what is no word among them."""
RANDOM_TRAIN, RANDOM_DEV = 32, 4
"""Photos for bundles that learn nothing: they calibrate, and show that the bundle runs."""
_WORDS_A_CAPTION = 15
# The corpus's own layout.
_CAPTIONS = "Flickr8k.token.txt"
_SPLITS = ("Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt")


@dataclass(frozen=True)
class Wanted:
    """A bundle of the comparison, all but its data in the words of `edgecap convert`."""

    name: str
    encoder: str
    encoder_compression: str
    decoder_compression: str
    random_weights: bool

    def is_like(self, system: System) -> bool:
        """Whether a bundle has the same halves already."""
        compressions = (self.encoder_compression, self.decoder_compression)
        return system.halves == Halves(self.encoder, compressions[0], "merge", compressions[1])

    def options(self) -> list[str]:
        """How `edgecap convert` is asked for it, folders left out."""
        # What it costs is what is to be measured: no loss refuses the bundle.
        options = [*MERGE, "--encoder", self.encoder, "--max-quality-loss", "1000"]
        options += ["--encoder-compression", self.encoder_compression]
        options += ["--decoder-compression", self.decoder_compression]
        if self.random_weights:
            options += ["--encoder-weights", "random", "--epochs", "1"]
            options += ["--calibration-photos", str(RANDOM_TRAIN)]
        return options


WANTED = (
    Wanted("vgg16-float32", "vgg16", "none", "none", random_weights=True),
    Wanted("vgg16-int8", "vgg16", "quantize", "quantize", random_weights=True),
    Wanted("resnet50_conv4-float32", "resnet50_conv4", "none", "none", random_weights=False),
    Wanted("resnet50_conv4-int8", "resnet50_conv4", "quantize", "quantize", random_weights=False),
    Wanted(
        "resnet50_conv4-pruned", "resnet50_conv4", "quantize", "prune:80+quantize",
        random_weights=False,
    ),
)  # fmt: skip


def make(wanted: Wanted, data: Path, photos: Iterable[CaptionedPhoto], work: Path) -> Path:
    """The bundle, from the working folder if it is there; a stopped conversion goes on.

    Args:
        data: the corpus.
        photos: of the corpus.

    Raises:
        ConversionError: if `edgecap convert` fails, with its last line.
    """
    path = work / "bundles" / f"{wanted.name}.edgecap"
    if path.exists():
        return path
    if wanted.random_weights:
        data = _few_photos([one for one in photos if one.split == "train"], work)
    say(f"making {path}")
    folders = ("--data", data, "--output", path, "--work", work / "conversion")
    reason = run_module("edgecap", "convert", *folders, *wanted.options(), shown=True)
    if reason is not None:
        raise ConversionError(f"{wanted.name} could not be made ({reason})")
    return path


def _few_photos(train: Sequence[CaptionedPhoto], work: Path) -> Path:
    """A corpus that teaches nothing, but as many words as the paper's decoder knows."""
    folder = work / "few-photos"
    if (folder / _CAPTIONS).exists():
        return folder
    tokenizer = TheirTokenizer.fit(frame(text) for one in train for text in one.captions)
    words = list(tokenizer.word_index)[: VOCABULARY - len(SPECIAL_TOKENS)]
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    chosen = train[: RANDOM_TRAIN + RANDOM_DEV]
    for one in chosen:
        shutil.copyfile(one.path, images / one.path.name)
    names = [one.path.name for one in chosen]
    learned, tested = names[:RANDOM_TRAIN], names[RANDOM_TRAIN:]
    captions = [words[i : i + _WORDS_A_CAPTION] for i in range(0, len(words), _WORDS_A_CAPTION)]
    numbered = enumerate(zip(itertools.cycle(learned), captions, strict=False))
    lines = [f"{name}#{number}\t{' '.join(caption)}" for number, (name, caption) in numbered]
    lines += [f"{name}#0\t{words[0]}" for name in tested]
    for split, chosen_names in zip(_SPLITS, (learned, tested), strict=True):
        _write(folder / split, chosen_names)
    _write(folder / _CAPTIONS, lines)
    return folder


def _write(path: Path, lines: Iterable[str]) -> None:
    with whole_file(path) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
