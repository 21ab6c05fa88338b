"""The photos that every target captions."""

import os
from pathlib import Path

from edgecap.datasets import load_dataset, select
from edgecap.errors import UsageError

OWN, CORPUS = "EDGECAP_PHOTOS", "EDGECAP_FLICKR8K"


def find(count: int) -> list[Path]:
    """`count` photos: those of the folder `$EDGECAP_PHOTOS`, then dev photos of the corpus.

    Raises:
        UsageError: if there are fewer.
    """
    found: list[Path] = []
    if own := os.environ.get(OWN):
        found += sorted(path for path in Path(own).iterdir() if path.suffix.lower() == ".jpg")
    if len(found) < count and (corpus := os.environ.get(CORPUS)):
        names = {path.name for path in found}
        dev = select(load_dataset(corpus), "dev")
        found += [photo.path for photo in dev if photo.path.name not in names]
    if len(found) < count:
        raise UsageError(
            f"expected {count} photos, found {len(found)}: set {OWN} to a folder of JPEGs, or "
            f"{CORPUS} to Flickr8k's"
        )
    return found[:count]
