"""Caption corpora whose captions are lines of text: Flickr8k as it is shipped, and Kaggle's."""

from __future__ import annotations

import csv
import hashlib
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgecap.datasets.corpus import (
    PHOTO_FOLDERS,
    CaptionedPhoto,
    assemble,
    find_photos,
    is_file_name,
)
from edgecap.errors import DatasetError

TOKEN_FILE = "Flickr8k.token.txt"
KAGGLE_FILE = "captions.txt"
KAGGLE_HEADER = ["image", "caption"]
SPLIT_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "dev": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
TEXT_FOLDERS = ("", "Flickr8k_text")


def split_by_name(name: str) -> str:
    """The split of a photo in a corpus without lists: 1/8 dev, 1/8 test, the rest train.

    The first byte of the SHA-256 of the file name decides: below 32 dev, below 64 test. So
    a photo stays in its split whichever others are there.
    """
    first = hashlib.sha256(name.encode()).digest()[0]
    return "dev" if first < 32 else "test" if first < 64 else "train"


def find_flickr8k(root: Path) -> Path | None:
    """The captions of a folder in Flickr8k's own layout."""
    return _find_text(root, TOKEN_FILE)


def read_flickr8k(root: Path, token_file: Path) -> tuple[CaptionedPhoto, ...]:
    """Raises DatasetError, as `edgecap.datasets.load_dataset`."""
    captions: dict[str, list[str]] = {}
    for number, line in filter(operator.itemgetter(1), _lines(token_file)):
        label, tab, caption = line.partition("\t")
        name, hash_sign, _ = label.rpartition("#")
        if not (tab and hash_sign):
            raise _broken(token_file, number, "'name.jpg#number<TAB>caption'", line)
        _add_caption(captions, token_file, number, name, caption)
    splits = _read_splits(root)
    if not splits:
        raise DatasetError(
            f"{root}: expected {SPLIT_LISTS['train']} beside {TOKEN_FILE}, found no split list: "
            "copy it from the corpus"
        )
    return _place(root, captions, splits)


def find_kaggle(root: Path) -> Path | None:
    """The captions of a folder in Kaggle's layout."""
    return _find_text(root, KAGGLE_FILE)


def read_kaggle(root: Path, caption_file: Path) -> tuple[CaptionedPhoto, ...]:
    """Raises DatasetError, as `edgecap.datasets.load_dataset`."""
    captions: dict[str, list[str]] = {}
    # Strict, or one stray quote swallows captions up to the next one in silence.
    rows = csv.reader((f"{line}\n" for _, line in _lines(caption_file)), strict=True)
    try:
        if (header := next(rows, [])) != KAGGLE_HEADER:
            raise _broken(caption_file, 1, "the header 'image,caption'", ",".join(header))
        # Some copies leave commas unquoted: what follows the first is the caption.
        for name, *caption in filter(None, rows):
            _add_caption(captions, caption_file, rows.line_num, name, ",".join(caption))
    except csv.Error as error:
        raise _broken(caption_file, rows.line_num, "CSV 'image,caption'", str(error)) from error
    splits = _read_splits(root) or {name: split_by_name(name) for name in captions}
    return _place(root, captions, splits)


def _find_text(root: Path, name: str) -> Path | None:
    paths = (root / folder / name for folder in TEXT_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line with its number from 1; what holds nothing but white space comes empty."""
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, raw in enumerate(text.splitlines(), start=1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise _broken(path, number, "UTF-8", repr(raw[error.start : error.end])) from error
        yield number, line if line.strip() else ""


def _add_caption(
    captions: dict[str, list[str]], path: Path, number: int, name: str, caption: str
) -> None:
    _check_name(path, number, name)
    if not caption.strip() or "\n" in caption:
        raise _broken(path, number, f"a caption of one line for {name}", caption)
    captions.setdefault(name, []).append(caption)


def _check_name(path: Path, number: int, name: str) -> None:
    if not is_file_name(name):
        raise _broken(path, number, "a file name without folders", name)


def _broken(path: Path, number: int, expected: str, came: str) -> DatasetError:
    shown = came if len(came) <= 60 else f"{came[:60]}…"
    return DatasetError(
        f"{path}, line {number}: expected {expected}, found {shown!r}: correct or remove the line"
    )


def _read_splits(root: Path) -> dict[str, str]:
    """Photo name -> split, from the lists that are there; empty if none is."""
    found = {split: _find_text(root, name) for split, name in SPLIT_LISTS.items()}
    lists = {split: path for split, path in found.items() if path is not None}
    splits: dict[str, str] = {}
    for split, path in lists.items():
        for number, line in filter(operator.itemgetter(1), _lines(path)):
            name = line.strip()
            _check_name(path, number, name)
            if splits.setdefault(name, split) != split:
                raise _broken(path, number, f"a photo that is not in {splits[name]} too", name)
    if lists and "train" not in splits.values():
        raise DatasetError(
            f"{root}: expected photos in {SPLIT_LISTS['train']}, found none: "
            "copy the list from the corpus"
        )
    return splits


def _place(
    root: Path, captions: Mapping[str, Sequence[str]], splits: Mapping[str, str]
) -> tuple[CaptionedPhoto, ...]:
    folder = find_photos(root, PHOTO_FOLDERS)
    return assemble(
        root,
        {folder / name: said for name, said in captions.items()},
        {folder / name: split for name, split in splits.items()},
    )
