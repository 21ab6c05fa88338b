"""Karpathy's JSON and COCO's: small corpora in those layouts, and all that can be wrong there."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecap.datasets import load_dataset
from edgecap.errors import DatasetError


def sentences(*captions: str) -> list[dict[str, Any]]:
    return [{"raw": caption, "tokens": caption.split(), "sentid": 1} for caption in captions]


FLICKR8K = {
    "dataset": "flickr8k",
    "images": [
        {"filename": "b.jpg", "split": "train", "sentences": sentences("A dog .", "A big dog .")},
        {"filename": "c.jpg", "split": "test", "sentences": sentences("Two men")},
        {"filename": "a.jpg", "split": "val", "sentences": sentences("A cat")},
    ],
}
COCO = {
    "dataset": "coco",
    "images": [
        {"filepath": folder, "filename": name, "split": split, "sentences": sentences(name)}
        for folder, name, split in (
            ("train2014", "t1.jpg", "train"),
            ("val2014", "v1.jpg", "val"),
            ("val2014", "v2.jpg", "restval"),
            ("val2014", "v3.jpg", "test"),
        )
    ],
}
TRAIN = {
    "images": [{"id": 7, "file_name": "t1.jpg"}, {"id": 5, "file_name": "t0.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 7, "caption": "A dog\nruns. "},
        {"id": 2, "image_id": 5, "caption": "A cat"},
        {"id": 3, "image_id": 7, "caption": "A brown dog"},
    ],
}
VAL = {
    "images": [{"id": 7, "file_name": "v1.jpg"}],
    "annotations": [{"id": 1, "image_id": 7, "caption": "Two men"}],
}


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def karpathy(folder: Path, content: Any = FLICKR8K) -> Path:
    photos = {f"images/{name}.jpg": b"" for name in "abc"}
    return write(folder, {**photos, "dataset_flickr8k.json": content})


def karpathy_coco(folder: Path, above: str = "", content: Any = COCO) -> Path:
    photos = {f"{above}{image['filepath']}/{image['filename']}": b"" for image in COCO["images"]}
    return write(folder, {**photos, "dataset_coco.json": content})


def coco(folder: Path, train: Any = TRAIN, val: Any = VAL, year: str = "2014") -> Path:
    photos = {
        f"{name}.jpg": b"" for name in (f"train{year}/t0", f"train{year}/t1", f"val{year}/v1")
    }
    files = {f"annotations/captions_{s}{year}.json": c for s, c in (("train", train), ("val", val))}
    return write(folder, {**photos, **files})


def read(folder: Path) -> list[tuple[str, tuple[str, ...], str]]:
    """What was loaded: path below the folder, captions, split."""
    return [
        (photo.path.relative_to(folder).as_posix(), photo.captions, photo.split)
        for photo in load_dataset(folder)
    ]


def message_of(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600 + 3 * len(str(folder))
    return message


def changed(content: Any, *place: str | int, to: Any) -> Any:
    """A copy with another value at one place; `...` removes it."""
    copied = copy.deepcopy(content)
    part = copied
    for key in place[:-1]:
        part = part[key]
    if to is ...:
        del part[place[-1]]
    else:
        part[place[-1]] = to
    return copied


def test_karpathy_flickr8k(tmp_path: Path) -> None:
    assert read(karpathy(tmp_path)) == [
        ("images/a.jpg", ("A cat",), "dev"),
        ("images/b.jpg", ("A dog .", "A big dog ."), "train"),
        ("images/c.jpg", ("Two men",), "test"),
    ]


@pytest.mark.parametrize("above", ["", "images/"])
def test_karpathy_coco(tmp_path: Path, above: str) -> None:
    assert read(karpathy_coco(tmp_path, above)) == [
        (f"{above}train2014/t1.jpg", ("t1.jpg",), "train"),
        (f"{above}val2014/v1.jpg", ("v1.jpg",), "dev"),
        (f"{above}val2014/v2.jpg", ("v2.jpg",), "train"),
        (f"{above}val2014/v3.jpg", ("v3.jpg",), "test"),
    ]


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_coco(tmp_path: Path, year: str) -> None:
    # The two files number their images on their own.
    assert read(coco(tmp_path, year=year)) == [
        (f"train{year}/t0.jpg", ("A cat",), "train"),
        (f"train{year}/t1.jpg", ("A dog runs.", "A brown dog"), "train"),
        (f"val{year}/v1.jpg", ("Two men",), "dev"),
    ]


def test_coco_without_its_val_file(tmp_path: Path) -> None:
    (coco(tmp_path) / "annotations/captions_val2014.json").unlink()
    assert {photo.split for photo in load_dataset(tmp_path)} == {"train"}


def test_karpathys_splits_count_beside_kaggles_captions(tmp_path: Path) -> None:
    karpathy(tmp_path)
    (tmp_path / "captions.txt").write_text("image,caption\na.jpg,Something else\n")
    assert len(load_dataset(tmp_path)) == 3


def test_two_corpora_in_one_folder_are_refused(tmp_path: Path) -> None:
    karpathy_coco(karpathy(tmp_path))
    assert "found dataset_flickr8k.json and dataset_coco.json: keep one" in message_of(tmp_path)


def test_two_years_of_coco_are_refused(tmp_path: Path) -> None:
    coco(coco(tmp_path), year="2017")
    assert "found captions_train2014.json and captions_train2017.json" in message_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "expected JSON, found not JSON"),
        (b"{", "expected JSON, found not JSON"),
        (b"\xff", "expected JSON, found not JSON"),
        (b"[" * 200_000, "expected JSON, found nested too deeply"),
        (b'{"images": [], "images": []}', "a key stands twice"),
        ([], "expected it to be an object, found []"),
        ({}, "expected images, found none"),
        ({"images": {}}, "expected images to be a list, found {}"),
        ({"images": []}, "expected captions, found none"),
        ({"images": [3]}, "expected images[0] to be an object, found 3"),
        ({"images": [[[[[[[[[]]]]]]]]]}, "expected images[0] to be an object, found [["),
        (("images", 1, "filename", ...), "expected images[1].filename, found none"),
        (("images", 1, "filename", 3), "expected images[1].filename to be text, found 3"),
        (("images", 1, "filename", "../a.jpg"), "a file name without folders"),
        (("images", 1, "filename", "a\n.jpg"), "a file name without folders, found 'a\\n.jpg'"),
        (("images", 1, "filename", "\ud800"), "a file name without folders"),
        (("images", 1, "filename", "b.jpg"), "images[1].filename to be a photo that did not come"),
        (("images", 1, "filename", "z.jpg"), "found none for 1 (the first: z.jpg)"),
        (("images", 1, "filepath", "a/.."), "images[1].filepath to be a file name without folders"),
        (("images", 1, "filepath", "photos"), "named photos, images/photos, found none"),
        (("images", 1, "split", ...), "expected images[1].split, found none"),
        (("images", 1, "split", "dev"), "one of train, restval, val, test, found 'dev'"),
        (("images", 1, "split", ["val"]), "expected images[1].split to be text"),
        (("images", 1, "sentences", ...), "expected images[1].sentences, found none"),
        (("images", 1, "sentences", "Two men"), "expected images[1].sentences to be a list"),
        (("images", 1, "sentences", []), "expected a caption for each of the 3 photos"),
        (("images", 1, "sentences", 0, 4), "expected images[1].sentences[0] to be an object"),
        (("images", 1, "sentences", 0, "raw", ...), "expected images[1].sentences[0].raw, found"),
        (("images", 1, "sentences", 0, "raw", " \n"), "sentences[0].raw to be a caption"),
        (("images", 1, "sentences", 0, "raw", "\ud800"), "sentences[0].raw to be a caption"),
        (("images", 1, "sentences", 0, "raw", None), "sentences[0].raw to be text, found None"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_karpathys_file_is_named(
    tmp_path: Path, content: Any, complaint: str
) -> None:
    if isinstance(content, tuple):
        content = changed(FLICKR8K, *content[:-1], to=content[-1])
    assert complaint in message_of(karpathy(tmp_path, content))


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("images",), ..., "expected images, found none"),
        (("images", 0, "id"), ..., "expected images[0].id, found none"),
        (("images", 0, "id"), "7", "expected images[0].id to be a whole number, found '7'"),
        (("images", 0, "id"), True, "expected images[0].id to be a whole number, found True"),
        (("images", 1, "id"), 7, "expected images[1].id to be an id that did not come before"),
        (("images", 1, "file_name"), "t1.jpg", "images[1].file_name to be a photo that did not"),
        (("images", 1, "file_name"), "C:t.jpg", "images[1].file_name to be a file name without"),
        (("images", 1, "file_name"), "gone.jpg", "found none for 1 (the first: gone.jpg)"),
        (("annotations",), ..., "expected annotations, found none"),
        (("annotations",), [], "expected a caption for each of the 3 photos"),
        (("annotations", 1), ..., "expected a caption for each of the 3 photos"),
        (("annotations", 1, "image_id"), 8, "annotations[1].image_id to be the id of one of the"),
        (("annotations", 1, "image_id"), 5.0, "annotations[1].image_id to be a whole number"),
        (("annotations", 1, "caption"), "", "expected annotations[1].caption to be a caption"),
        (("annotations", 1, "caption"), ["A"], "expected annotations[1].caption to be text"),
    ],
)
def test_what_is_wrong_in_cocos_file_is_named(
    tmp_path: Path, place: tuple[str | int, ...], value: Any, complaint: str
) -> None:
    message = message_of(coco(tmp_path, changed(TRAIN, *place, to=value)))
    assert complaint in message


def test_a_folder_of_cocos_photos_that_is_missing(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "val2014").rename(tmp_path / "photos")
    assert "a folder of photos named val2014, images/val2014, found none" in message_of(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["images", "annotations", "filename", "sentences", "id"]), inner
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("corpus", "name", "valid"),
    [
        (karpathy, "dataset_flickr8k.json", FLICKR8K),
        (karpathy_coco, "dataset_coco.json", COCO),
        (coco, "annotations/captions_train2014.json", TRAIN),
    ],
)
def test_any_other_json_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, corpus: Callable[[Path], Path], name: str, valid: Any
) -> None:
    folder = corpus(tmp_path_factory.mktemp("corpus"))

    @given(st.data())
    def check(data: st.DataObject) -> None:
        part, place = valid, []
        while isinstance(part, (dict, list)) and (not place or data.draw(st.booleans())):
            keys = list(part) if isinstance(part, dict) else list(range(len(part)))
            place.append(data.draw(st.sampled_from(keys)))
            part = part[place[-1]]
        content = changed(valid, *place, to=data.draw(st.just(...) | JSON))
        (folder / name).write_text(json.dumps(content))
        photos, complaint = (), ""
        try:
            photos = load_dataset(folder)
        except DatasetError as error:
            complaint = str(error)
        assert "\n" not in complaint
        assert bool(photos) != bool(complaint)
        assert all(photo.path.is_file() and photo.captions for photo in photos)

    check()
