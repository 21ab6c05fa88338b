"""Caption corpora on disk: every layout, and everything that can be wrong with them."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from edgecap.datasets import load_dataset, select, split_by_name
from edgecap.errors import DatasetError

TOKENS = """\
b.jpg#0\tA dog runs .
a.jpg#0\tA cat , asleep .
a.jpg#1\tThe "cat" sleeps
c.jpg#0\tTwo men
d.jpg#0\tA girl in no split
2258277193_586949ec62.jpg.1#0\tPeople on ATVs .
"""
LISTS = {"train": "b.jpg\na.jpg\n", "dev": "c.jpg\n"}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def flickr8k(
    folder: Path,
    tokens: str | bytes = TOKENS,
    lists: dict[str, str] = LISTS,
    photos: str = "images",
    text: str = ".",
) -> Path:
    files: dict[str, str | bytes] = {f"{photos}/{name}.jpg": b"" for name in "abcd"}
    files |= {f"{text}/Flickr_8k.{split}Images.txt": names for split, names in lists.items()}
    return write(folder, {**files, f"{text}/Flickr8k.token.txt": tokens})


def kaggle(folder: Path, captions: str | bytes, photos: str = "abcd") -> Path:
    files: dict[str, str | bytes] = {f"Images/{name}.jpg": b"" for name in photos}
    return write(folder, {**files, "captions.txt": captions})


def message_of(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_flickr8k_as_the_corpus_ships_it(tmp_path: Path) -> None:
    photos = load_dataset(flickr8k(tmp_path))
    assert [(photo.path.name, photo.captions, photo.split) for photo in photos] == [
        ("a.jpg", ("A cat , asleep .", 'The "cat" sleeps'), "train"),
        ("b.jpg", ("A dog runs .",), "train"),
        ("c.jpg", ("Two men",), "dev"),
        ("d.jpg", ("A girl in no split",), ""),
    ]
    assert all(photo.path.is_file() for photo in photos)


@pytest.mark.parametrize(
    "photos",
    [
        "images",
        "Images",
        "Flickr8k_Dataset",
        "Flicker8k_Dataset",
        "Flickr8k_Dataset/Flicker8k_Dataset",
    ],
)
@pytest.mark.parametrize("text", [".", "Flickr8k_text"])
def test_flickr8k_as_people_unpack_it(tmp_path: Path, photos: str, text: str) -> None:
    loaded = load_dataset(flickr8k(tmp_path, photos=photos, text=text))
    assert len(loaded) == 4
    # A file system that ignores case may find "Images" as "images".
    assert loaded[0].path.samefile(tmp_path / photos / "a.jpg")


def test_windows_line_ends_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    tokens = b"\xef\xbb\xbf" + TOKENS.replace("\n", "\r\n").encode() + b"\r\n \r\n"
    lists = {split: names.replace("\n", "\r\n") + "\r\n" for split, names in LISTS.items()}
    photos = load_dataset(flickr8k(tmp_path, tokens, lists))
    assert photos[1].captions == ("A dog runs .",)
    assert [photo.split for photo in photos] == ["train", "train", "dev", ""]


def test_a_test_list_is_read_too(tmp_path: Path) -> None:
    photos = load_dataset(flickr8k(tmp_path, lists={**LISTS, "test": "d.jpg\n"}))
    assert [photo.path.name for photo in select(photos, "test")] == ["d.jpg"]


def test_the_folder_may_be_a_string(tmp_path: Path) -> None:
    assert load_dataset(str(flickr8k(tmp_path))) == load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"a.jpg#0 A dog", "'name.jpg#number<TAB>caption'"),
        (b"a.jpg\tA dog", "'name.jpg#number<TAB>caption'"),
        (b"a.jpg#0\t", "a caption of one line for a.jpg"),
        (b"a.jpg#0\t  ", "a caption of one line for a.jpg"),
        (b"a.jpg#0\tA caf\xe9", "UTF-8"),
        (b"#0\tA dog", "a file name without folders"),
        (b"../a.jpg#0\tA dog", "a file name without folders"),
        (b"images/a.jpg#0\tA dog", "a file name without folders"),
        (b"images\\a.jpg#0\tA dog", "a file name without folders"),
        (b"C:a.jpg#0\tA dog", "a file name without folders"),
        (b"..#0\tA dog", "a file name without folders"),
        (b".#0\tA dog", "a file name without folders"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, expected: str) -> None:
    tokens = b"b.jpg#0\tA dog\n\n" + line + b"\nc.jpg#0\tA cat\n"
    message = message_of(flickr8k(tmp_path, tokens))
    assert message.startswith(f"{tmp_path / 'Flickr8k.token.txt'}, line 3: expected {expected}, ")


def test_a_long_broken_line_is_cut(tmp_path: Path) -> None:
    assert len(message_of(flickr8k(tmp_path, "x" * 100_000))) < 300 + len(str(tmp_path))


def test_photos_of_a_split_that_are_not_on_disk(tmp_path: Path) -> None:
    folder = flickr8k(tmp_path)
    for name in ("b.jpg", "c.jpg"):
        (folder / "images" / name).unlink()
    message = message_of(folder)
    assert f"expected a file in {folder / 'images'} for each of the 3 photos" in message
    assert "found none for 2 (the first: b.jpg)" in message


def test_photos_of_a_split_without_captions(tmp_path: Path) -> None:
    message = message_of(flickr8k(tmp_path, "a.jpg#0\tA cat\nb.jpg#0\tA dog\n"))
    assert "expected a caption for each of the 3" in message
    assert "found none for 1 (the first: c.jpg)" in message


def test_a_photo_in_two_splits(tmp_path: Path) -> None:
    message = message_of(flickr8k(tmp_path, lists={**LISTS, "test": "\nb.jpg\n"}))
    assert "Flickr_8k.testImages.txt, line 2: expected a photo that is not in train too" in message


def test_a_split_list_may_not_leave_the_folder(tmp_path: Path) -> None:
    message = message_of(flickr8k(tmp_path, lists={"train": "../secret.jpg\n"}))
    assert "Flickr_8k.trainImages.txt, line 1: expected a file name without folders" in message


@pytest.mark.parametrize("lists", [{}, {"dev": "c.jpg\n"}, {"train": "\n", "dev": "c.jpg\n"}])
def test_the_train_list_is_required(tmp_path: Path, lists: dict[str, str]) -> None:
    assert "Flickr_8k.trainImages.txt" in message_of(flickr8k(tmp_path, lists=lists))


def test_no_folder_of_photos(tmp_path: Path) -> None:
    assert "Flicker8k_Dataset" in message_of(flickr8k(tmp_path, photos="pictures"))


def test_no_captions(tmp_path: Path) -> None:
    assert "expected captions" in message_of(flickr8k(tmp_path, tokens=""))


def test_a_folder_of_no_layout(tmp_path: Path) -> None:
    message = message_of(tmp_path)
    for name in ("Flickr8k.token.txt", "captions.txt", "dataset_coco.json", "captions_train2014"):
        assert name in message
    assert "found none of these" in message


def test_no_folder(tmp_path: Path) -> None:
    assert "found no such folder" in message_of(tmp_path / "none")


def test_a_system_error_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    folder = flickr8k(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "the system said 'Permission denied'" in message_of(folder)


def test_kaggle_with_the_split_lists(tmp_path: Path) -> None:
    captions = (
        "image,caption\n"
        'a.jpg,"A cat , asleep ."\n'
        'a.jpg,"The ""cat"" sleeps"\n'
        "\n"
        "b.jpg,A dog , running , alone .\n"
        "c.jpg,Two men\r\n"
        "d.jpg,A girl\n"
    )
    write(tmp_path, {f"Flickr_8k.{split}Images.txt": names for split, names in LISTS.items()})
    photos = load_dataset(kaggle(tmp_path, captions))
    assert [(photo.path.name, photo.captions, photo.split) for photo in photos] == [
        ("a.jpg", ("A cat , asleep .", 'The "cat" sleeps'), "train"),
        ("b.jpg", ("A dog , running , alone .",), "train"),
        ("c.jpg", ("Two men",), "dev"),
        ("d.jpg", ("A girl",), ""),
    ]


def test_kaggle_without_lists_is_split_by_name(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(40)]
    lines = "".join(f"{name},A dog\n" for name in names)
    write(tmp_path, {f"Images/{name}": b"" for name in names})
    photos = load_dataset(kaggle(tmp_path, "image,caption\n" + lines))
    assert [photo.path.name for photo in photos] == sorted(names)
    assert {photo.split for photo in photos} == {"train", "dev", "test"}
    assert all(photo.split == split_by_name(photo.path.name) for photo in photos)


def test_split_by_name_is_an_eighth_each() -> None:
    # A changed rule would move photos between train and test. First bytes from `sha256sum`.
    assert split_by_name("1191338263_a4fa073154.jpg") == "dev"  # 0x1f
    assert split_by_name("2903617548_d3e38d7f88.jpg") == "test"  # 0x20
    assert split_by_name("2876848241_63290edfb4.jpg") == "test"  # 0x3f
    assert split_by_name("3721082512_8277087f3f.jpg") == "train"  # 0x40
    sizes = Counter(split_by_name(f"{number}.jpg") for number in range(8000))
    assert sizes["dev"] == pytest.approx(1000, abs=100)
    assert sizes["test"] == pytest.approx(1000, abs=100)


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ("", "line 1: expected the header 'image,caption'"),
        ("a.jpg,A dog\n", "line 1: expected the header 'image,caption', found 'a.jpg,A dog'"),
        (
            "image,caption\n \n\na.jpg,A\nb.jpg\n",
            "line 5: expected a caption of one line for b.jpg",
        ),
        ("image,caption\na.jpg,\n", "line 2: expected a caption of one line for a.jpg"),
        ('image,caption\na.jpg,"A\nb.jpg,dog"\n', "line 3: expected a caption of one line"),
        ('image,caption\na.jpg,"A dog\n', "line 2: expected CSV"),
        ('image,caption\na.jpg,"A" dog\n', "line 2: expected CSV"),
        ("image,caption\n../a.jpg,A dog\n", "line 2: expected a file name without folders"),
        (b"image,caption\na.jpg,A dog\nb.jpg,caf\xe9\n", "line 3: expected UTF-8"),
        ("image,caption\n", "expected captions, found none"),
        ("image,caption\nz.jpg,A dog\ny.jpg,A\n", "found none for 2 (the first: y.jpg)"),
    ],
)
def test_a_broken_kaggle_file_is_named(
    tmp_path: Path, captions: str | bytes, expected: str
) -> None:
    assert expected in message_of(kaggle(tmp_path, captions))


def test_select_keeps_the_order_and_refuses_an_empty_split(tmp_path: Path) -> None:
    photos = load_dataset(flickr8k(tmp_path))
    assert [photo.path.name for photo in select(photos, "train")] == ["a.jpg", "b.jpg"]
    with pytest.raises(DatasetError, match="'test', found train 2, dev 1, in no split 1"):
        select(photos, "test")


def test_importing_the_module_imports_nothing_heavy() -> None:
    code = "import sys, edgecap.datasets; sys.exit('numpy' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif("EDGECAP_FLICKR8K" not in os.environ, reason="EDGECAP_FLICKR8K names no corpus")
def test_the_real_corpus() -> None:
    photos = load_dataset(os.environ["EDGECAP_FLICKR8K"])
    sizes = Counter(photo.split for photo in photos)
    assert (sizes["train"], sizes["dev"]) == (6000, 1000)
    assert {len(photo.captions) for photo in photos} == {5}
    assert photos[0].path.name == "1000268201_693b08cb0e.jpg"
    assert photos[0].captions[1] == "A girl going into a wooden building ."
