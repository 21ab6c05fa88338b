"""Caption corpora, whatever their layout, as one record type.

A layout is a row of `LAYOUTS`: how to recognise it, how to read it. Photos are looked for,
never opened.
"""

from __future__ import annotations

import csv
import hashlib
import operator
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

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
# "Flicker" is the corpus's own spelling; the first is its zip unpacked into a folder.
PHOTO_FOLDERS = (
    "Flickr8k_Dataset/Flicker8k_Dataset",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
    "images",
    "Images",
)


@dataclass(frozen=True)
class CaptionedPhoto:
    """One photo of a corpus, and what people wrote about it."""

    path: Path
    """The photo's file. It existed when the corpus was loaded."""
    captions: tuple[str, ...]
    """One or more, in the corpus's order and spelling."""
    split: str
    """"train", "dev", "test", or "" for a photo of the corpus that is in no split."""


def load_dataset(folder: str | os.PathLike[str]) -> tuple[CaptionedPhoto, ...]:
    """Read a caption corpus: its captioned photos, sorted by file name.

    Two layouts are known. Flickr8k as the corpus ships it (Hodosh et al. 2013, JAIR 47):
    `Flickr8k.token.txt`, the split lists `Flickr_8k.{train,dev,test}Images.txt` (train is
    required) and a folder of photos. Kaggle's: `captions.txt` (CSV with the header
    `image,caption`) and a folder of photos, split by the same lists if they lie there and
    by `split_by_name` if not.

    Captions of a photo that is neither on disk nor in a split are left out: the original
    corpus has one such name (2258277193_586949ec62.jpg.1).

    Raises:
        DatasetError: the layout is unknown, a line is broken, a photo of a split is not on
            disk or has no caption, a photo is in two splits, or a file cannot be read.
    """
    root = Path(folder)
    try:
        for layout in LAYOUTS:
            caption_file = layout.recognise(root)
            if caption_file is not None:
                return layout.read(root, caption_file)
        came = "neither" if root.is_dir() else "no such folder"
    except OSError as error:
        raise DatasetError(
            f"{error.filename}: expected to read it, the system said '{error.strerror}': "
            "check its rights"
        ) from error
    expected = " or ".join(layout.shape for layout in LAYOUTS)
    raise DatasetError(f"{root}: expected {expected}, found {came}: name the corpus's folder")


def select(photos: Iterable[CaptionedPhoto], split: str) -> tuple[CaptionedPhoto, ...]:
    """The photos of one split, in the order given.

    Raises:
        DatasetError: there are none.
    """
    photos = tuple(photos)
    chosen = tuple(photo for photo in photos if photo.split == split)
    if not chosen:
        sizes = Counter(photo.split or "in no split" for photo in photos)
        found = ", ".join(f"{name} {size}" for name, size in sizes.items()) or "no photo"
        raise DatasetError(
            f"expected photos in the split '{split}', found {found}: name another split"
        )
    return chosen


def split_by_name(name: str) -> str:
    """The split of a photo in a corpus without lists: 1/8 dev, 1/8 test, the rest train.

    The first byte of the SHA-256 of the file name decides: below 32 dev, below 64 test. So
    a photo stays in its split whichever others are there.
    """
    first = hashlib.sha256(name.encode()).digest()[0]
    return "dev" if first < 32 else "test" if first < 64 else "train"


def _read_flickr8k(root: Path, token_file: Path) -> tuple[CaptionedPhoto, ...]:
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
    return _assemble(root, captions, splits)


def _read_kaggle(root: Path, caption_file: Path) -> tuple[CaptionedPhoto, ...]:
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
    return _assemble(root, captions, splits)


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
    """A name comes from a downloaded file: it must not lead out of the folder of photos."""
    # Windows' rules are the stricter ones: both slashes, and drives.
    if name in ("", "..") or PureWindowsPath(name).name != name:
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


def _assemble(
    root: Path, captions: Mapping[str, Sequence[str]], splits: Mapping[str, str]
) -> tuple[CaptionedPhoto, ...]:
    folder = next((root / name for name in PHOTO_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DatasetError(
            f"{root}: expected a folder of photos named {', '.join(PHOTO_FOLDERS)}, found none: "
            "unpack the photos into one"
        )
    if not captions:
        raise DatasetError(f"{root}: expected captions, found none: copy the file again")
    with os.scandir(folder) as entries:
        on_disk = {entry.name for entry in entries if entry.is_file()}
    for have, what in ((on_disk, f"a file in {folder}"), (captions, "a caption")):
        missing = sorted(name for name in splits if name not in have)
        if missing:
            raise DatasetError(
                f"{root}: expected {what} for each of the {len(splits)} photos in the splits, "
                f"found none for {len(missing)} (the first: {missing[0]}): add what is missing"
            )
    return tuple(
        CaptionedPhoto(folder / name, tuple(captions[name]), splits.get(name, ""))
        for name in sorted(captions)
        if name in on_disk
    )


class _Layout(NamedTuple):
    shape: str
    """For the message when no layout fits."""
    recognise: Callable[[Path], Path | None]
    """The corpus's folder -> its caption file, None if the folder is not of this layout."""
    read: Callable[[Path, Path], tuple[CaptionedPhoto, ...]]
    """The corpus's folder and the file recognised -> its photos."""


LAYOUTS = (
    _Layout(
        f"Flickr8k ({TOKEN_FILE}, {SPLIT_LISTS['train']}, images/)",
        lambda root: _find_text(root, TOKEN_FILE),
        _read_flickr8k,
    ),
    _Layout(
        f"Kaggle's Flickr8k ({KAGGLE_FILE}, Images/)",
        lambda root: _find_text(root, KAGGLE_FILE),
        _read_kaggle,
    ),
)
