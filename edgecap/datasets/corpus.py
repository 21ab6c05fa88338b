"""What every layout of a caption corpus has: photos on disk, captions, splits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from edgecap.errors import DatasetError

# "Flicker" is the corpus's own spelling; the first is its zip unpacked into a folder.
PHOTO_FOLDERS = (
    "Flickr8k_Dataset/Flicker8k_Dataset",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
    "flickr30k-images",
    "flickr30k_images",
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


def is_file_name(name: str) -> bool:
    """Whether a name from a downloaded file stays in the folder of photos."""
    # Windows' rules are the stricter ones: both slashes, and drives.
    return name not in ("", "..") and PureWindowsPath(name).name == name and name.isprintable()


def find_photos(root: Path, names: Sequence[str]) -> Path:
    """The first of these folders that is there.

    Raises:
        DatasetError: none is.
    """
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise DatasetError(
            f"{root}: expected a folder of photos named {', '.join(names)}, found none: "
            "unpack the photos into one"
        )
    return folder


def assemble(
    root: Path, captions: Mapping[Path, Sequence[str]], splits: Mapping[Path, str]
) -> tuple[CaptionedPhoto, ...]:
    """The corpus's photos, sorted by file name, from what was read of them.

    Args:
        root: the corpus's folder, for messages.
        captions: of each photo's file, which need not exist for one that is in no split.
        splits: of each photo's file that is in one.

    Raises:
        DatasetError: a photo of a split is not on disk or has no caption, or there is none.
    """
    if not captions:
        raise DatasetError(f"{root}: expected captions, found none: copy the file again")
    folders = sorted({path.parent for path in (*captions, *splits)})
    on_disk = set()
    for folder in folders:
        with os.scandir(folder) as entries:
            on_disk |= {folder / entry.name for entry in entries if entry.is_file()}
    places = " or ".join(map(str, folders))
    for have, what in ((on_disk, f"a file in {places}"), (captions, "a caption")):
        missing = sorted(path.name for path in splits if path not in have)
        if missing:
            raise DatasetError(
                f"{root}: expected {what} for each of the {len(splits)} photos in the splits, "
                f"found none for {len(missing)} (the first: {missing[0]}): add what is missing"
            )
    return tuple(
        CaptionedPhoto(path, tuple(captions[path]), splits.get(path, ""))
        for path in sorted(captions, key=lambda path: (path.name, path))
        if path in on_disk
    )
