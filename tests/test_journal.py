"""The output file of a library: what a line says, and that no accident costs more than its line."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import stat
import subprocess
import sys
import time

import pytest
from conftest import command_environment
from hypothesis import given
from hypothesis import strategies as st

from edgecap.errors import OutputError, UsageError
from edgecap_runtime import journal as journals
from edgecap_runtime import locking
from edgecap_runtime.journal import FORMATS, Journal
from edgecap_runtime.records import KEPT, WRITTEN, DamagedLine, ForeignLine, Record

BUNDLE, OTHER_BUNDLE = "b" * 64, "0" * 64
TIMINGS = {"decode": 1.9, "resize": 0.912, "encoder": 4.4, "decoder": 0.8, "total": 8.012}
ENDINGS = pytest.mark.parametrize("ending", FORMATS)


def record(path="a.jpg", caption="a dog runs", bundle=BUNDLE, **others):
    values = {"log_probability": -7.31, "timings_ms": TIMINGS, "error": None, "size": 12}
    return Record(path=path, caption=caption, bundle=bundle, **{**values, "mtime_ns": 34, **others})


def failure(path="b.jpg", error="b.jpg: is empty", **others):
    return record(path, None, log_probability=None, timings_ms=None, error=error, **others)


def written(path, *records, bundle=BUNDLE):
    """A journal at `path`, with these appended; its bytes."""
    with Journal(str(path), bundle) as journal:
        for one in records:
            journal.append(one)
    return path.read_bytes()


def known(path, bundle=BUNDLE):
    """What a journal says again, by path, read through its index."""
    found = {}
    with Journal(str(path), bundle) as journal:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            if (place := journal.known(name)) is not None:
                found[name] = journal.read(place.offset)
                assert found[name].path == name
        assert len(journal) == len(found)
    return found


# Lines

texts = st.text(st.characters() | st.sampled_from("\udce9\n\r\t,\"'=+-@\0\x1b\u2028é"), max_size=20)
records = st.one_of(
    st.builds(
        record, texts, texts, st.sampled_from([BUNDLE, OTHER_BUNDLE]),
        log_probability=st.floats(-1e4, 0), size=st.integers(0, 2**63 - 1),
        mtime_ns=st.integers(-(2**63), 2**63 - 1), sidecar=st.sampled_from([None, WRITTEN, KEPT]),
    ),
    st.builds(failure, texts, texts.filter(bool)),
)  # fmt: skip


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@given(one=records)
def test_a_record_survives_and_is_one_line(form, one):
    line = form.encode(one)
    assert line.index(b"\n") == len(line) - 1
    assert b"\r" not in line
    assert form.decode(line) == one


def test_a_line_of_json_begins_with_what_the_command_promises():
    line = json.loads(FORMATS[".jsonl"].encode(record("caf\udce9.jpg")))
    assert list(line)[:4] == ["path", "caption", "log_probability", "timings_ms"]
    assert os.fsencode(line["path"]) == b"caf\xe9.jpg"
    assert line["timings_ms"] == TIMINGS
    assert list(json.loads(FORMATS[".jsonl"].encode(failure())))[:2] == ["path", "error"]


def test_csv_is_as_spreadsheets_read_it(tmp_path):
    path = tmp_path / "out.csv"
    written(path, record('a, "b".jpg'), failure("b.jpg", "b.jpg: no, no"))
    with path.open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["path"], first["caption"]) == ('a, "b".jpg', "a dog runs")
    assert (first["log_probability"], first["total_ms"], first["error"]) == ("-7.31", "8.012", "")
    assert (second["caption"], second["error"]) == ("", "b.jpg: no, no")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '"=1"', "a\nb"])
def test_no_cell_of_csv_is_a_formula_or_two_lines(text):
    line = FORMATS[".csv"].encode(failure(text, text))
    (cells,) = csv.reader(io.StringIO(line.decode()))
    for cell in (cells[0], cells[8]):
        assert cell[0] not in "=+-@\t\r"
        assert "\n" not in cell


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        (".jsonl", b'{"path": "a.jpg", "caption": "a dog", "log_probability": -7.3}\n'),
        (".jsonl", FORMATS[".jsonl"].encode(record()).replace(b'"version": 1', b'"version": 2')),
        (".jsonl", b"[1]\n"),
        (".jsonl", FORMATS[".jsonl"].encode(record()).replace(b'"size": 12', b'"size": -1')),
        (".csv", FORMATS[".csv"].encode(record()).replace(b",1\n", b",2\n")),
    ],
)
def test_a_sound_line_of_something_else_is_told_from_a_damaged_one(ending, line):
    with pytest.raises(ForeignLine):
        FORMATS[ending].decode(line)


@ENDINGS
def test_a_line_that_is_cut_anywhere_is_damaged(ending):
    line = FORMATS[ending].encode(record("a\udce9\n.jpg"))
    for end in range(len(line) - 1):
        with pytest.raises(DamagedLine):
            FORMATS[ending].decode(line[:end] + b"\n")


# Accidents


@ENDINGS
def test_a_file_that_was_cut_at_any_byte_goes_on(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of them take a minute
    path = tmp_path / f"out{ending}"
    three = (record("a.jpg"), failure("b.jpg"), record("c.jpg"))
    whole = written(path, *three)
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    if ending == ".csv":
        ends = ends[1:]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        left = sum(end <= cut for end in ends)
        assert list(known(path).values()) == list(three[:left])
        assert written(path, *three[left:]) == whole


@ENDINGS
@pytest.mark.parametrize("lines", [0, 1, 2])
def test_zeros_that_a_power_cut_left_are_removed(tmp_path, ending, lines):
    path = tmp_path / f"out{ending}"
    whole = written(path, record("a.jpg"), record("c.jpg"))
    kept = whole.splitlines(keepends=True)[: lines + (ending == ".csv")] if lines else []
    path.write_bytes(b"".join(kept) + bytes(300))
    with Journal(str(path), BUNDLE) as journal:
        assert (journal.damaged, len(journal)) == (1, lines)
        journal.append(failure())
    assert len(known(path)) == lines + 1


@ENDINGS
def test_a_damaged_line_in_the_middle_costs_itself_alone(tmp_path, ending):
    path = tmp_path / f"out{ending}"
    whole = written(path, record("a.jpg"), record("b.jpg"), record("c.jpg"))
    place = whole.index(b"b.jpg")
    path.write_bytes(whole[:place] + bytes(40) + whole[place + 40 :])
    with Journal(str(path), BUNDLE) as journal:
        assert (journal.damaged, len(journal)) == (1, 2)
    assert b"\0" not in path.read_bytes()
    assert set(known(path)) == {"a.jpg", "c.jpg"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.jsonl", b"milk\nbread\n"),
        ("notes.jsonl", b"milk"),
        ("old.jsonl", b'{"path": "a.jpg", "caption": "a dog"}\n'),
        ("cut.jsonl", b'{"path": "a.jpg", "caption": "a dog"}'),
        ("table.csv", b"path,caption\na.jpg,a dog\n"),
        ("table.csv", FORMATS[".csv"].header.replace(b"version", b"revision")),
        ("mixed.jsonl", FORMATS[".jsonl"].encode(record()) + b'{"mine": 1}\n'),
        ("mixed.jsonl", FORMATS[".jsonl"].encode(record()) + b'{"mine": 1}'),
        ("json.csv", FORMATS[".jsonl"].encode(record())),
        ("binary.jsonl", bytes(range(256)) * 8_000),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no output of this version") as caught:
        Journal(str(path), BUNDLE)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_an_empty_file_is_ours(tmp_path):
    path = tmp_path / "out.jsonl"
    path.touch()
    assert written(path, record()) == FORMATS[".jsonl"].encode(record())


@pytest.mark.parametrize(
    ("name", "part"),
    [("out.txt", ".jsonl or .csv"), ("out", ".jsonl or .csv"), ("none/out.csv", "make it first")],
)
def test_a_place_that_cannot_be_is_wrong_usage(tmp_path, name, part):
    with pytest.raises(UsageError, match=part):
        Journal(str(tmp_path / name), BUNDLE)


def test_a_folder_or_a_pipe_is_wrong_usage(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("folder.csv", "pipe.csv"):
        with pytest.raises(UsageError, match="is no file"):
            Journal(str(tmp_path / name), BUNDLE)


FILL = """
import sys
from edgecap_runtime.journal import Journal
from edgecap_runtime.records import Record

with Journal(sys.argv[1], "b") as journal:
    for number in range(1_000):
        journal.append(Record(f"{number}.jpg", "a dog runs", -7.3, None, None, 1, 2, "b"))
"""


@ENDINGS
def test_a_disk_that_fills_stops_it_and_leaves_whole_lines(tmp_path, ending):
    """A limit on the size of files stands for the disk: it lets a part of a line through too."""
    path = tmp_path / f"out{ending}"
    done = subprocess.run(
        [sys.executable, "-c", FILL, path],
        env=command_environment(), capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )  # fmt: skip
    assert "OutputError" in done.stderr.splitlines()[-1]
    assert "the same command goes on" in done.stderr.splitlines()[-1]
    content = path.read_bytes()
    assert 9_000 < len(content) <= 10_000
    assert content.endswith(b"\n")
    with Journal(str(path), BUNDLE) as journal:
        assert (journal.damaged, len(journal)) == (0, content.count(b"\n") - (ending == ".csv"))


# Two at once


def test_two_processes_do_not_write_one_file(tmp_path):
    path = tmp_path / "out.jsonl"
    with Journal(str(path), BUNDLE) as journal:
        journal.append(record())
        with pytest.raises(OutputError, match="another edgecap is writing it"):
            Journal(str(path), BUNDLE)
        journal.append(failure())
    assert len(known(path)) == 2


def test_a_lock_ends_with_whoever_was_killed(tmp_path):
    path = tmp_path / "out.jsonl"
    code = (
        "import sys, time; from edgecap_runtime.journal import Journal; "
        f"Journal(sys.argv[1], '{BUNDLE}'); print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], env=command_environment(), stdout=subprocess.PIPE
    )
    with process:
        process.stdout.readline()
        with pytest.raises(OutputError):
            Journal(str(path), BUNDLE)
        process.kill()
    assert known(path) == {}


def test_one_that_waited_takes_the_rewritten_file(tmp_path, monkeypatch):
    """Between opening the file and having it for itself, another run put a new one there."""
    path = tmp_path / "out.jsonl"
    whole = written(path, record("a.jpg"))
    really_lock, calls = locking.try_lock, []

    def lock_late(file):
        calls.append(file)
        if len(calls) == 1:
            (tmp_path / "new").write_bytes(whole)
            (tmp_path / "new").replace(path)
        return really_lock(file)

    monkeypatch.setattr(locking, "try_lock", lock_late)
    assert len(written(path, record("c.jpg")).splitlines()) == 2
    assert len(calls) == 2


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locking, "try_lock", refuse)
    with pytest.raises(OutputError, match=r"cannot be locked \(No locks available\)"):
        Journal(str(tmp_path / "out.jsonl"), BUNDLE)


# What is known, and what is left in the end


@ENDINGS
def test_what_is_known_of_a_photo(tmp_path, ending):
    path = tmp_path / f"out{ending}"
    written(path, record("a.jpg", size=5, mtime_ns=6, sidecar=KEPT), failure("b.jpg"))
    with Journal(str(path), OTHER_BUNDLE) as journal:
        a, b = journal.known("a.jpg"), journal.known("b.jpg")
        assert (a.size, a.mtime_ns, a.failed, a.sidecar) == (5, 6, False, KEPT)
        assert (b.failed, b.sidecar) == (True, None)
        assert not a.same_bundle
        assert journal.known("c.jpg") is None
        journal.append(record("c.jpg", bundle=OTHER_BUNDLE))
        assert journal.known("c.jpg").same_bundle


@ENDINGS
def test_of_two_records_of_a_photo_the_later_is_left(tmp_path, ending):
    path = tmp_path / f"out{ending}"
    written(path, failure("a.jpg"), record("c.jpg"))
    with Journal(str(path), BUNDLE) as journal:
        journal.append(record("a.jpg", "a cat"))
        journal.append(record("a.jpg", "two cats"))
        assert path.read_bytes().count(b"a.jpg") >= 3
    left = known(path)
    assert left["a.jpg"].caption == "two cats"
    assert list(left) == ["a.jpg", "c.jpg"]
    assert path.read_bytes().count(b"a.jpg") == 1


def test_a_rewritten_file_keeps_its_rights_and_a_link_stays_a_link(tmp_path):
    path, link = tmp_path / "out.jsonl", tmp_path / "link.jsonl"
    written(path, record("a.jpg"))
    path.chmod(0o640)
    link.symlink_to(path)
    written(link, record("a.jpg", "a cat"))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert known(path)["a.jpg"].caption == "a cat"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.jsonl", "out.jsonl"]


def test_a_second_later_it_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    really_sync = os.fsync
    monkeypatch.setattr(journals, "SYNC_SECONDS", 0.05)
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), really_sync(file)))
    with Journal(str(tmp_path / "out.jsonl"), BUNDLE) as journal:
        before = len(synced)
        time.sleep(0.2)
        assert len(synced) == before  # nothing new, nothing to do
        journal.append(record())
        deadline = time.monotonic() + 5
        while len(synced) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(synced) == before + 1


def test_a_disk_that_fails_later_is_reported(tmp_path, monkeypatch):
    journal = Journal(str(tmp_path / "out.jsonl"), BUNDLE)

    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="Input/output error"), journal:
        journal.append(record())
