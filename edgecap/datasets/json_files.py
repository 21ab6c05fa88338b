"""Caption corpora whose captions are JSON: Karpathy's files of three corpora, and COCO's own."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edgecap import schema
from edgecap.datasets.corpus import (
    PHOTO_FOLDERS,
    CaptionedPhoto,
    assemble,
    find_photos,
    is_file_name,
)
from edgecap.errors import DatasetError

KARPATHY_FILES = ("dataset_flickr8k.json", "dataset_flickr30k.json", "dataset_coco.json")
KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "dev", "test": "test"}
COCO_YEARS = ("2014", "2017")
COCO_SPLITS = {"train": "train", "val": "dev"}

# JSON can spell them, UTF-8 cannot.
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_KINDS = {dict: "an object", list: "a list", str: "text", int: "a whole number"}


class _Node(NamedTuple):
    """A value of a JSON file, and where it stands there."""

    path: Path
    where: str
    value: Any

    @classmethod
    def load(cls, path: Path) -> _Node:
        try:
            return cls(path, "", schema.parse(path.read_bytes())).checked(dict)
        except schema.SchemaError as error:
            raise DatasetError(f"{path}: expected JSON, found {error}: get it again") from error

    def get(self, key: str, kind: type) -> _Node:
        """A member of this object."""
        where = f"{self.where}.{key}" if self.where else key
        if key not in self.value:
            raise DatasetError(f"{self.path}: expected {where}, found none: get it again")
        return _Node(self.path, where, self.value[key]).checked(kind)

    def objects(self, key: str) -> Iterator[_Node]:
        """The objects of the list `key`."""
        node = self.get(key, list)
        for index, value in enumerate(node.value):
            yield _Node(self.path, f"{node.where}[{index}]", value).checked(dict)

    def file_name(self, key: str) -> str:
        node = self.get(key, str)
        if not is_file_name(node.value):
            raise node.broken("a file name without folders")
        return str(node.value)

    def caption(self, key: str) -> str:
        """On one line: some of COCO's go over two."""
        node = self.get(key, str)
        caption = " ".join(node.value.split())
        if not caption or _HALF_CHARACTER.search(caption):
            raise node.broken("a caption")
        return caption

    def checked(self, kind: type) -> _Node:
        # bool is an int to Python.
        if type(self.value) is not kind:
            raise self.broken(_KINDS[kind])
        return self

    def broken(self, expected: str) -> DatasetError:
        return DatasetError(
            f"{self.path}: expected {self.where or 'it'} to be {expected}, "
            f"found {reprlib.repr(self.value)}: correct it, or get the file again"
        )


def find_karpathy(root: Path) -> Path | None:
    """Karpathy's file of a corpus.

    Raises:
        DatasetError: there are several.
    """
    return _only([root / name for name in KARPATHY_FILES])


def read_karpathy(root: Path, file: Path) -> tuple[CaptionedPhoto, ...]:
    """Raises DatasetError, as `edgecap.datasets.load_dataset`."""
    captions: dict[Path, list[str]] = {}
    splits: dict[Path, str] = {}
    folders: dict[str, Path] = {}
    for image in _Node.load(file).objects("images"):
        # COCO's photos lie in two folders, the others' in one.
        part = image.file_name("filepath") if "filepath" in image.value else ""
        if part not in folders:
            names = (part, f"images/{part}") if part else PHOTO_FOLDERS
            folders[part] = find_photos(root, names)
        path = folders[part] / image.file_name("filename")
        if path in splits:
            raise image.get("filename", str).broken("a photo that did not come before")
        split = image.get("split", str)
        if split.value not in KARPATHY_SPLITS:
            raise split.broken(f"one of {', '.join(KARPATHY_SPLITS)}")
        splits[path] = KARPATHY_SPLITS[split.value]
        if said := [sentence.caption("raw") for sentence in image.objects("sentences")]:
            captions[path] = said
    return assemble(root, captions, splits)


def find_coco(root: Path) -> Path | None:
    """COCO's captions of its train photos.

    Raises:
        DatasetError: there are those of two years, which share photos.
    """
    return _only([root / "annotations" / f"captions_train{year}.json" for year in COCO_YEARS])


def read_coco(root: Path, file: Path) -> tuple[CaptionedPhoto, ...]:
    """Raises DatasetError, as `edgecap.datasets.load_dataset`."""
    captions: dict[Path, list[str]] = {}
    splits: dict[Path, str] = {}
    for theirs, ours in COCO_SPLITS.items():
        part = file.with_name(file.name.replace("train", theirs))
        if not part.is_file():
            continue
        content = _Node.load(part)
        name = part.stem.removeprefix("captions_")
        folder = find_photos(root, (name, f"images/{name}"))
        paths: dict[int, Path] = {}
        for image in content.objects("images"):
            number, path = image.get("id", int), folder / image.file_name("file_name")
            if number.value in paths:
                raise number.broken("an id that did not come before")
            if path in splits:
                raise image.get("file_name", str).broken("a photo that did not come before")
            paths[number.value], splits[path] = path, ours
        for annotation in content.objects("annotations"):
            number = annotation.get("image_id", int)
            if number.value not in paths:
                raise number.broken("the id of one of the images")
            captions.setdefault(paths[number.value], []).append(annotation.caption("caption"))
    return assemble(root, captions, splits)


def _only(files: list[Path]) -> Path | None:
    found = [file for file in files if file.is_file()]
    if len(found) > 1:
        raise DatasetError(
            f"{found[0].parent}: expected one corpus, found {found[0].name} and {found[1].name}: "
            "keep one"
        )
    return found[0] if found else None
