"""The folder of shards that a run on a cluster writes, and photos at addresses."""

from __future__ import annotations

import errno
import os

import pytest

from edgecap.errors import OutputError, UsageError
from edgecap_runtime import shards as shards_module
from edgecap_runtime.found import Found
from edgecap_runtime.records import KEPT, WRITTEN, Record
from edgecap_runtime.shards import FORMATS, Shards
from edgecap_runtime.sources import Unreachable
from edgecap_runtime.stored import Stored, as_found, walk_stored

pytest.importorskip("fsspec", reason="needs the extra cluster")
pytest.importorskip("pyarrow", reason="needs the extra cluster")

BUNDLE = "ab" * 32
TIMINGS = {"decode": 1.5, "resize": 0.25, "encoder": 4.0, "decoder": 0.125, "total": 5.875}
ENDINGS = pytest.mark.parametrize("ending", FORMATS)


def record(path="a.jpg", **changes):
    said = ("a dog runs", -7.312345678901234, TIMINGS, None)
    return Record(path, *said, 10, 20, BUNDLE)._replace(**changes)


def failure(path="b.jpg"):
    nothing = {"caption": None, "log_probability": None, "timings_ms": None}
    return record(path, **nothing, error=f"{path}: is empty")


def read(path):
    """All records, in order, as their files hold them."""
    files = sorted(path.glob("part-*"))
    return [one for file in files for one in FORMATS[path.suffix].decode(file.read_bytes())]


def names(path):
    return sorted(one.name for one in path.iterdir())


@ENDINGS
def test_what_is_written_is_read_again(tmp_path, ending):
    path = tmp_path / f"out{ending}"
    given = [
        record(),
        failure(),
        record("caf\udce9.jpg", caption=""),
        record('"quoted".jpg', sidecar=KEPT, caption='"no" he said'),
        record("=1+1.jpg", size=0, mtime_ns=-5, sidecar=WRITTEN, timings_ms=None),
        failure("gr\u00fc\u00df\U0001f600.jpg"),
    ]
    with Shards(str(path), BUNDLE) as shards:
        for one in given:
            shards.append(one)
            assert shards.read(shards.known(one.path).offset) == one
        assert len(shards) == len(given)
    assert read(path) == given
    with Shards(str(path), BUNDLE) as shards:
        for one in given:
            known = shards.known(one.path)
            assert known.offset < shards.end
            assert (known.size, known.mtime_ns, known.same_bundle, known.failed) == (
                one.size, one.mtime_ns, True, one.error is not None
            )  # fmt: skip
            assert shards.read(known.offset) == one
        assert shards.known("none.jpg") is None


@ENDINGS
def test_a_shard_is_written_when_it_is_full_and_places_rise(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(shards_module, "RECORDS", 3)
    path = tmp_path / f"out{ending}"
    with Shards(str(path), BUNDLE) as shards:
        places = []
        for number in range(8):
            places.append(shards.end)
            shards.append(record(f"{number}.jpg"))
            assert len(list(path.glob("part-*"))) == (number + 1) // 3
        assert places == sorted(set(places))
        assert [shards.read(place).path for place in places] == [f"{n}.jpg" for n in range(8)]
    assert len(read(path)) == 8
    assert [name[:11] for name in names(path)[1:]] == [f"part-{n:06}" for n in range(3)]


def test_a_shard_is_written_when_it_was_begun_long_ago(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    with Shards(str(path), BUNDLE) as shards:
        shards.append(record())
        assert not read(path)
        monkeypatch.setattr(shards_module, "SECONDS", 0.0)
        shards.append(record("b.jpg"))
        assert len(read(path)) == 2


@ENDINGS
def test_the_later_of_two_records_stays(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(shards_module, "RECORDS", 2)
    path = tmp_path / f"out{ending}"
    with Shards(str(path), BUNDLE) as shards:
        for name in "abcd":
            shards.append(record(name))
    with Shards(str(path), BUNDLE) as shards:
        begin = shards.end
        for name in "acd":
            shards.append(record(name, caption="a cat sits"))
        shards.append(record("a", caption="a bird sings"))
        assert shards.known("b").offset < begin <= shards.known("a").offset
    assert [(one.path, one.caption) for one in read(path)] == [
        ("b", "a dog runs"), ("c", "a cat sits"), ("d", "a cat sits"), ("a", "a bird sings")
    ]  # fmt: skip
    assert len(list(path.glob("part-*"))) == 3  # of c and d together nothing is left


@ENDINGS
def test_a_run_that_was_killed_leaves_whole_shards(tmp_path, monkeypatch, ending):
    """What is not closed is as if it had been killed."""
    monkeypatch.setattr(shards_module, "RECORDS", 2)
    path = tmp_path / f"out{ending}"
    killed = Shards(str(path), BUNDLE)
    for name in "abc":
        killed.append(record(name))
    killed._opened.close()  # as the system does
    (path / ".part-000001-00000000.jsonl.partial").write_bytes(b"half")
    with Shards(str(path), BUNDLE) as shards:
        assert len(shards) == 2
        for name in "bc":
            shards.append(record(name))
    assert [one.path for one in read(path)] == ["a", "b", "c"]
    assert not [name for name in names(path) if name.endswith(".partial")]


def test_a_full_disk_is_one_line_and_no_part_of_a_shard(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    with Shards(str(path), BUNDLE) as shards:
        shards.append(record())

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = names(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with (
            pytest.raises(OutputError, match=r"cannot write .* \(No space left on device\): free"),
            Shards(str(path), BUNDLE) as shards,
        ):
            shards.append(record("b.jpg"))
    assert names(path) == before
    assert read(path) == [record()]


def test_two_runs_on_one_folder(tmp_path):
    path = str(tmp_path / "out.jsonl")
    with (
        Shards(path, BUNDLE),
        pytest.raises(OutputError, match="another edgecap is writing it"),
    ):
        Shards(path, BUNDLE)
    with Shards(path, BUNDLE):
        pass


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("out.jsonl", "notes.txt", b""),
        ("out.jsonl", "part-000000-01234567.parquet", b""),
        ("out.parquet", "part-000000-01234567.parquet", b"no parquet"),
        ("out.jsonl", "part-000000-01234567.jsonl", b'{"path": "a.jpg"}\n'),
        ("out.jsonl", "part-000000-01234567.jsonl", b'{"path": "a.j'),
    ],
)
def test_a_folder_that_is_not_ours_is_refused_and_left_as_it_is(tmp_path, name, file, content):
    (tmp_path / name).mkdir()
    (tmp_path / name / file).write_bytes(content)
    with pytest.raises(UsageError, match=f"holds {file}, no output of this version") as caught:
        Shards(str(tmp_path / name), BUNDLE)
    assert str(tmp_path / name) in str(caught.value)
    assert (tmp_path / name / file).read_bytes() == content


def test_parquet_of_another_version_is_refused(tmp_path):
    from pyarrow import parquet

    path = tmp_path / "out.parquet"
    with Shards(str(path), BUNDLE) as shards:
        shards.append(record())
    (file,) = path.glob("part-*")
    table = parquet.read_table(file)
    column = table.column_names.index("version")
    two = table.column("version").combine_chunks().take([0])
    changed = table.set_column(column, "version", [[two[0].as_py() + 1]])
    parquet.write_table(changed, file)
    with pytest.raises(UsageError, match="no output of this version"):
        Shards(str(path), BUNDLE)


def test_a_file_in_its_place_is_wrong_usage(tmp_path):
    (tmp_path / "out.jsonl").touch()
    with pytest.raises(UsageError, match="is a file: with --cluster give a folder's name"):
        Shards(str(tmp_path / "out.jsonl"), BUNDLE)


@pytest.fixture
def bucket():
    """An empty place in fsspec's storage in memory."""
    import fsspec

    storage = fsspec.filesystem("memory")
    storage.makedirs("/bucket")
    yield storage
    storage.rm("/bucket", recursive=True)


@ENDINGS
def test_shards_in_storage(bucket, monkeypatch, ending):
    monkeypatch.setattr(shards_module, "RECORDS", 2)
    address = f"memory://bucket/out{ending}"
    with Shards(address, BUNDLE) as shards:
        for name in "abc":
            shards.append(record(name))
    with Shards(address, BUNDLE) as shards:
        assert len(shards) == 3
        shards.append(record("c", caption="a cat sits"))
    with Shards(address, BUNDLE) as shards:
        assert shards.read(shards.known("c").offset).caption == "a cat sits"
        assert len(bucket.ls(f"/bucket/out{ending}")) == 2


def test_photos_in_storage_are_found_as_on_a_disk(bucket):
    for name in ("b/2.jpg", "b/1.JPG", "a.png", "notes.txt", ".hidden/x.jpg", "@eaDir/y.jpg"):
        bucket.pipe_file(f"/bucket/photos/{name}", name.encode())
    found = list(walk_stored("memory://bucket/photos"))
    assert [one.name.rpartition("photos/")[2] for one in found] == ["a.png", "b/1.JPG", "b/2.jpg"]
    for one in found:
        assert isinstance(one, Stored)
        assert one.name.startswith("memory://")
        assert one.size == len(one.read(100))
        assert one.mtime_ns > 10**18
        assert one.is_there()
        assert one.again() == one
    assert list(walk_stored("memory://bucket/photos")) == found
    (alone,) = walk_stored(found[0].name)
    assert alone == found[0]
    bucket.rm_file("/bucket/photos/a.png")
    assert not found[0].is_there()


def test_what_is_not_there_is_one_line(bucket):
    bucket.makedirs("/bucket/empty")
    (empty,) = walk_stored("memory://bucket/empty")
    assert "folder without photos" in str(empty.error)
    (missing,) = walk_stored("memory://bucket/none")
    assert isinstance(missing, Unreachable)
    assert "cannot be listed" in str(missing.error)
    with pytest.raises(UsageError, match="Protocol not known"):
        list(walk_stored("nothing://bucket"))


def test_an_address_is_told_from_a_path():
    assert type(as_found("s3://bucket/a.jpg", 1, 2)) is Stored
    assert type(as_found("a.jpg", 1, 2)) is Found
