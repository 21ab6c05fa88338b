"""Bundles on disk: written whole or not at all, and refused for the smallest change."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from edgecap import schema
from edgecap.bundle import MANIFEST, Bundle, read_manifest, write_bundle
from edgecap.errors import BundleError, UsageError
from edgecap.manifest import DECODER, ENCODER, MEMBERS, TOKENIZER, Manifest, Tensor, content_sha256
from edgecap.sizes import folder_bytes, member_sizes, zip_bytes
from edgecap.tokenizer import Tokenizer

NAMES = (MANIFEST, *MEMBERS)


def refusal(path):
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"bundle {path}: ")
    return message


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny, tmp_path / "copy.edgecap"))


def contents(path):
    """Members of a bundle, folder or zip file, as bytes."""
    if path.is_dir():
        return {place.name: place.read_bytes() for place in sorted(path.iterdir())}
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write_members(path, members):
    """A zip file of any (name, content, compression), right or wrong."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content, compression in members:
            file.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def names_in(folder):
    return sorted(place.name for place in folder.iterdir())


def packed(members, compression=zipfile.ZIP_DEFLATED):
    return [(name, content, compression) for name, content in members.items()]


# Sound bundles


def test_a_folder_and_a_zip_file_hold_the_same(opened, tiny_zip):
    other = Bundle.open(tiny_zip)
    assert dataclasses.replace(other, path=opened.path, tokenizer=opened.tokenizer) == opened
    assert other.tokenizer.words == opened.tokenizer.words
    assert contents(tiny_zip) == contents(Path(opened.path))


@pytest.mark.parametrize("as_zip", [False, True])
def test_written_twice_gives_the_same_bytes(opened, members, tmp_path, as_zip):
    paths = [tmp_path / "one" / "x.edgecap", tmp_path / "two" / "y.edgecap"]
    sealed = [write_bundle(path, opened.manifest, members, as_zip) for path in paths]
    assert sealed[0] == sealed[1] == opened.manifest
    assert paths[0].is_dir() != as_zip
    if as_zip:
        assert paths[0].read_bytes() == paths[1].read_bytes()
    else:
        assert contents(paths[0]) == contents(paths[1])
    assert names_in(paths[0].parent) == [paths[0].name]


@pytest.mark.parametrize("old", ["folder", "zip"])
@pytest.mark.parametrize("as_zip", [False, True])
def test_an_older_bundle_is_replaced(opened, members, tmp_path, old, as_zip):
    path = tmp_path / "x.edgecap"
    write_bundle(path, dataclasses.replace(opened.manifest, name="old"), members, old == "zip")
    if old == "zip" and not as_zip:
        path.unlink()  # a file is no folder: the caller decides
    write_bundle(path, opened.manifest, members, as_zip)
    assert Bundle.open(path).manifest == opened.manifest
    assert names_in(tmp_path) == ["x.edgecap"]


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_write_that_fails_leaves_the_older_bundle_and_nothing_else(
    opened, members, tmp_path, monkeypatch, as_zip
):
    path = tmp_path / "x.edgecap"
    write_bundle(path, opened.manifest, members, as_zip)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="No space left"):
        write_bundle(path, dataclasses.replace(opened.manifest, name="new"), members, as_zip)
    assert Bundle.open(path).manifest == opened.manifest
    assert names_in(tmp_path) == ["x.edgecap"]


def test_a_place_that_cannot_be_written_is_one_line(opened, members, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="cannot write"):
        write_bundle(tmp_path / "file" / "x.edgecap", opened.manifest, members)


def test_files_that_desktops_drop_into_folders_do_no_harm(folder):
    (folder / ".DS_Store").write_bytes(b"x")
    Bundle.open(folder)


def test_stored_members_are_as_good_as_deflated_ones(tiny, tmp_path):
    path = write_members(tmp_path / "s.edgecap", packed(contents(tiny), zipfile.ZIP_STORED))
    Bundle.open(path)


# One byte changed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.31, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("bit", [0, 7])
def test_one_bit_flipped_in_any_member_of_a_folder_is_found(folder, name, share, bit):
    content = bytearray((folder / name).read_bytes())
    place = min(int(share * len(content)), len(content) - 2)
    content[place] ^= 1 << bit
    (folder / name).write_bytes(content)
    assert name in refusal(folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.31, 0.77, 0.98])
def test_one_byte_flipped_in_any_member_of_a_zip_file_is_found(tiny_zip, tmp_path, name, share):
    with zipfile.ZipFile(tiny_zip) as file:
        info = file.getinfo(name)
    content = bytearray(tiny_zip.read_bytes())
    begin = info.header_offset + 30 + len(name)
    content[begin + int(share * info.compress_size)] ^= 0xFF
    path = tmp_path / "flipped.edgecap"
    path.write_bytes(content)
    assert name in refusal(path)


def test_one_bit_flipped_anywhere_in_a_zip_file_never_changes_what_is_read(
    tiny_zip, opened, tmp_path
):
    """Dates and the like may be flipped; then what is read is what was written."""
    content = tiny_zip.read_bytes()
    path = tmp_path / "flipped.edgecap"
    directory = content.rindex(b"PK\x01\x02", 0, content.index(b"PK\x01\x02") + 4)
    places = [*range(0, directory, 397), *range(directory, len(content))]
    refused = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            read = Bundle.open(path)
        except BundleError:
            refused += 1
        else:
            assert read.manifest == opened.manifest
            assert (read.encoder, read.decoder) == (opened.encoder, opened.decoder)
    assert refused > len(places) / 2


def test_a_manifest_changed_with_care_is_found(folder):
    value = json.loads((folder / MANIFEST).read_bytes())
    value["licence"] = "public domain"
    (folder / MANIFEST).write_text(json.dumps(value))
    assert f"{MANIFEST} was changed" in refusal(folder)


def test_a_manifest_laid_out_otherwise_says_the_same(folder, opened):
    value = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(value, sort_keys=True))
    assert Bundle.open(folder).manifest == opened.manifest


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("change", [b"", b"more"])
def test_a_member_of_another_length_is_found(folder, name, change):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content + change if change else content[:-1])
    assert f"{name} has " in refusal(folder)


# Members that are not there, or should not be


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_member_is_named(folder, tmp_path, name):
    members = contents(folder)
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder)
    del members[name]
    path = write_members(tmp_path / "z.edgecap", packed(members))
    assert f"{name} is missing" in refusal(path)


@pytest.mark.parametrize("name", ["notes.txt", "../out", "/abs", "Manifest.json", "ENCODER.TFLITE"])
def test_any_other_member_of_a_zip_file_is_refused(tiny, tmp_path, name):
    path = write_members(tmp_path / "z.edgecap", packed({**contents(tiny), name: b"x"}))
    assert "no member of a bundle" in refusal(path)


def test_any_other_file_in_a_folder_is_refused(folder):
    (folder / "weights.h5").touch()
    assert "'weights.h5'" in refusal(folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tiny, tmp_path):
    members = packed(contents(tiny))
    path = write_members(tmp_path / "z.edgecap", [*members, (ENCODER, b"another", 0)])
    assert "twice" in refusal(path)


def test_what_is_no_regular_file_is_not_read(folder):
    (folder / TOKENIZER).unlink()
    os.mkfifo(folder / TOKENIZER)
    assert "not a regular file" in refusal(folder)
    (folder / TOKENIZER).unlink()
    (folder / TOKENIZER).symlink_to("/dev/zero")
    assert "not a regular file" in refusal(folder)


def test_a_member_without_permission_is_one_line(folder, monkeypatch):
    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", denied)
    assert "Permission denied" in refusal(folder)


# Zip files that lie


def test_a_bomb_is_refused_before_it_is_unpacked(tiny, tmp_path):
    members = {**contents(tiny), ENCODER: bytes(100_000_000)}
    path = write_members(tmp_path / "bomb.edgecap", packed(members))
    assert path.stat().st_size < 1_000_000
    assert f"{ENCODER} is packed in a way that bundles are not" in refusal(path)


def test_a_bomb_that_its_manifest_vouches_for_is_refused_too(members, opened, tmp_path):
    path = tmp_path / "bomb.edgecap"
    write_bundle(path, opened.manifest, {**members, ENCODER: bytes(100_000_000)}, as_zip=True)
    assert f"{ENCODER} is packed in a way that bundles are not" in refusal(path)


def test_a_directory_of_many_members_is_not_read(tiny, tmp_path):
    many = [(f"{index:0200}", b"", zipfile.ZIP_STORED) for index in range(1_000)]
    path = write_members(tmp_path / "many.edgecap", [*packed(contents(tiny)), *many])
    assert "lists more members than a bundle has" in refusal(path)


def test_a_link_in_a_zip_file_is_not_followed(tiny, tmp_path):
    path = tmp_path / "link.edgecap"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents(tiny).items():
            info = zipfile.ZipInfo(name)
            if name == TOKENIZER:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                content = b"/etc/passwd"
            file.writestr(info, content)
    assert f"{TOKENIZER} has 11 bytes" in refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tiny, tmp_path, compression):
    path = write_members(tmp_path / "z.edgecap", packed(contents(tiny), compression))
    assert "packed in a way that bundles are not" in refusal(path)


def directory_entry(content, name):
    """Where the entry of a member in a zip file's directory begins."""
    return content.rindex(name.encode()) - 46


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (8, struct.pack("<H", 1)),  # encrypted
        (24, struct.pack("<I", 2**32 - 2)),  # unpacked to 4 GB
        (24, struct.pack("<I", 1)),  # unpacked to a byte
        (20, struct.pack("<I", 1)),  # packed into a byte
        (10, struct.pack("<H", 99)),  # compression of the future
        (42, struct.pack("<I", 2**31)),  # beyond the end
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_directory_that_lies_is_refused(tiny_zip, tmp_path, name, offset, value):
    content = bytearray(tiny_zip.read_bytes())
    begin = directory_entry(content, name) + offset
    content[begin : begin + len(value)] = value
    path = tmp_path / "lying.edgecap"
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_a_zip_file_that_is_cut_off_is_refused(tiny_zip, tmp_path, share):
    content = tiny_zip.read_bytes()
    path = tmp_path / "cut.edgecap"
    path.write_bytes(content[: int(share * len(content))])
    assert "neither a bundle folder nor a zip file" in refusal(path)


def test_what_is_no_bundle_at_all(tmp_path):
    path = tmp_path / "x.edgecap"
    path.write_text("a text")
    assert "neither a bundle folder nor a zip file" in refusal(path)
    path.unlink()
    path.mkdir()
    assert f"{MANIFEST} is missing" in refusal(path)
    os.mkfifo(tmp_path / "pipe")
    refusal(tmp_path / "pipe")


def test_nothing_there_is_wrong_usage(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("missing", "missing/deeper", "dangling"):
        with pytest.raises(UsageError, match="no bundle at"):
            Bundle.open(tmp_path / name)


# Manifests that are not right, though every hash is


@pytest.mark.parametrize("version", [0, 2, 99, "1", None, True, 1.0, [1]])
def test_unknown_versions_are_refused_by_name(opened, version):
    value = {**schema.to_value(opened.manifest), "version": version}
    with pytest.raises(BundleError, match="version"):
        read_manifest(json.dumps(value).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"{}", b'{"format": "other"}',
                                     b"[" * 10_000, b'{"format":' * 10_000,
                                     b'{"format": "edgecap-bundle", "version": NaN}'])  # fmt: skip
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(BundleError) as caught:
        read_manifest(content)
    assert "\n" not in str(caught.value)


def sealed(manifest: Manifest, **fields) -> bytes:
    """JSON of a changed manifest with the right hash over it."""
    value = {**schema.to_value(manifest), **fields}
    value["sha256"] = content_sha256(value)
    return json.dumps(value).encode()


def without(tensors, name):
    return [tensor for tensor in tensors if tensor["name"] != name]


def with_fields(tensors, which, **fields):
    return [{**tensor, **fields} if tensor["name"] == which else tensor for tensor in tensors]


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        (None, {"name": "../x"}),
        (None, {"name": ""}),
        (None, {"maximum_words": 0}),
        (None, {"maximum_words": 10**9}),
        (None, {"maximum_words": True}),
        (None, {"members": {}}),
        (None, {"members": {name: {"bytes": 10**8, "sha256": "0" * 64} for name in MEMBERS}}),
        (None, {"surprise": 1}),
        (None, {"licence": None}),
        (None, {"licence": "\ud800"}),
        ("input", {"resampling": "magic"}),
        ("input", {"colour_order": "BGR"}),
        ("input", {"height": 0}),
        ("input", {"width": 10**6}),
        ("encoder", {"multiply_accumulates": -1}),
        ("encoder", {"weights": [{"operation": "CONV_2D", "count": 1, "zeros": 2}]}),
        ("encoder", {"inputs": []}),
        ("encoder", {"outputs": []}),
        ("decoder", {"outputs": []}),
        ("decoder", {"signature": 1}),
    ],
)
def test_manifests_that_cannot_be_served_are_refused(opened, where, fields):
    value = schema.to_value(opened.manifest)
    changes = fields if where is None else {where: {**value[where], **fields}}
    try:
        content = sealed(opened.manifest, **changes)
    except UnicodeEncodeError:  # has no hash
        content = json.dumps({**value, **changes}).encode()
    with pytest.raises(BundleError) as caught:
        read_manifest(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
@pytest.mark.parametrize(
    "fields",
    [{"shape": [1, -1]}, {"shape": [0]}, {"shape": [2**40]}, {"shape": [2**20, 2**20]},
     {"dtype": "float16"}, {"name": "other"}, {"shape": [1, 7]}],
)  # fmt: skip
def test_tensors_that_cannot_be_are_refused(opened, side, fields):
    graph = schema.to_value(opened.manifest.decoder)
    graph[side] = with_fields(graph[side], "state", **fields)
    with pytest.raises(BundleError):
        read_manifest(sealed(opened.manifest, decoder=graph))


def test_a_tensor_named_twice_or_left_out_is_refused(opened):
    graph = schema.to_value(opened.manifest.decoder)
    for inputs in (graph["inputs"] * 2, without(graph["inputs"], "token"),
                   without(graph["inputs"], "features")):  # fmt: skip
        with pytest.raises(BundleError):
            read_manifest(sealed(opened.manifest, decoder={**graph, "inputs": inputs}))


def test_a_vocabulary_of_another_size_is_refused(remade, opened):
    words = opened.tokenizer.words[:-1]
    path = remade({TOKENIZER: Tokenizer(words).to_json()})
    assert f"has {len(words)} words and the decoder {len(words) + 1}" in refusal(path)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"NaN", b"\xff", b'{"format": NaN}', b"1" * 10_000, b'"' * 9]
)
def test_a_tokenizer_of_anything_else_is_refused(remade, content):
    assert "tokenizer: " in refusal(remade({TOKENIZER: content}))


def test_a_tokenizer_that_is_none_is_refused(remade):
    assert "tokenizer" in refusal(remade({TOKENIZER: b"{}"}))


def test_a_manifest_that_cannot_be_served_is_not_written(opened, members, tmp_path):
    bad = dataclasses.replace(
        opened.manifest,
        decoder=dataclasses.replace(opened.manifest.decoder, outputs=(Tensor("x", (1,), "int8"),)),
    )
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "x.edgecap", bad, members)
    assert names_in(tmp_path) == []


# Sizes


def test_sizes_are_those_of_the_files(tiny, tiny_zip):
    sizes = member_sizes(tiny)
    assert [size.name for size in sizes] == [MANIFEST, *MEMBERS]
    assert {size.name: size.bytes for size in sizes} == {
        name: len(content) for name, content in contents(tiny).items()
    }
    assert folder_bytes(sizes) == sum(place.stat().st_size for place in tiny.iterdir())
    assert zip_bytes(sizes) == tiny_zip.stat().st_size
    with zipfile.ZipFile(tiny_zip) as file:
        packed_sizes = {info.filename: info.compress_size for info in file.infolist()}
    assert {size.name: size.deflated_bytes for size in sizes} == packed_sizes
    assert member_sizes(tiny_zip) == sizes


def test_written_files_can_be_read_by_others(opened, members, tmp_path):
    write_bundle(tmp_path / "f.edgecap", opened.manifest, members)
    assert stat.S_IMODE((tmp_path / "f.edgecap" / DECODER).stat().st_mode) & 0o444 == 0o444


def test_a_zip_file_is_as_any_unzip_reads_it(tiny_zip):
    with zipfile.ZipFile(io.BytesIO(tiny_zip.read_bytes())) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == sorted(NAMES)
