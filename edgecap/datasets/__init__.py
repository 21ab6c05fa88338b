"""Caption corpora, whatever their layout, as one record type.

A layout is a row of `LAYOUTS`: how to recognise it, how to read it. Photos are looked for,
never opened.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from edgecap.datasets import json_files, text_files
from edgecap.datasets.corpus import CaptionedPhoto
from edgecap.datasets.text_files import split_by_name
from edgecap.errors import DatasetError

__all__ = ["LAYOUTS", "CaptionedPhoto", "load_dataset", "select", "split_by_name"]


class _Layout(NamedTuple):
    shape: str
    """For the message when no layout fits."""
    recognise: Callable[[Path], Path | None]
    """The corpus's folder -> its caption file, None if the folder is not of this layout."""
    read: Callable[[Path, Path], tuple[CaptionedPhoto, ...]]
    """The corpus's folder and the file recognised -> its photos."""


# The first that fits counts: Karpathy's file beside Kaggle's is there for its splits.
LAYOUTS = (
    _Layout(
        f"Flickr8k ({text_files.TOKEN_FILE}, {text_files.SPLIT_LISTS['train']}, images/)",
        text_files.find_flickr8k,
        text_files.read_flickr8k,
    ),
    _Layout(
        f"Karpathy's ({' or '.join(json_files.KARPATHY_FILES)}, images/)",
        json_files.find_karpathy,
        json_files.read_karpathy,
    ),
    _Layout(
        f"Kaggle's Flickr8k ({text_files.KAGGLE_FILE}, Images/)",
        text_files.find_kaggle,
        text_files.read_kaggle,
    ),
    _Layout(
        "COCO (annotations/captions_train2014.json, train2014/; or 2017)",
        json_files.find_coco,
        json_files.read_coco,
    ),
)


def load_dataset(folder: str | os.PathLike[str]) -> tuple[CaptionedPhoto, ...]:
    """Read a caption corpus: its captioned photos, sorted by file name.

    Four layouts are known; where several fit, the first counts.

    - Flickr8k as the corpus ships it (Hodosh et al. 2013, JAIR 47): `Flickr8k.token.txt`, the
      split lists `Flickr_8k.{train,dev,test}Images.txt` (train is required) and a folder of
      photos.
    - Karpathy's (Karpathy and Fei-Fei 2015): `dataset_{flickr8k,flickr30k,coco}.json` and a
      folder of photos, for COCO `train2014/` and `val2014/`. His "restval" is train here, his
      "val" dev.
    - Kaggle's: `captions.txt` (CSV with the header `image,caption`) and a folder of photos, split
      by Flickr8k's lists if they lie there and by `split_by_name` if not.
    - COCO (Chen et al. 2015): `annotations/captions_{train,val}{2014,2017}.json` of one year, and
      folders of photos such as `train2014/`. The train file is train, the val file dev.

    Captions of a photo that is neither on disk nor in a split are left out: the original
    Flickr8k has one such name (2258277193_586949ec62.jpg.1).

    Raises:
        DatasetError: the layout is unknown, a line or a value is broken, a photo of a split is
            not on disk or has no caption, a photo is in two splits, or a file cannot be read.
    """
    root = Path(folder)
    try:
        for layout in LAYOUTS:
            caption_file = layout.recognise(root)
            if caption_file is not None:
                return layout.read(root, caption_file)
        came = "none of these" if root.is_dir() else "no such folder"
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
