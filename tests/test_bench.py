"""`edgecap bench`: what it says and writes. How long anything took is never asserted."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from edgecap import schema
from edgecap.cli import main
from edgecap.errors import EdgecapError, EngineError, ImageError
from edgecap.sizes import folder_bytes, member_sizes, zip_bytes
from edgecap_bench import conditions, picture
from edgecap_bench.latency import STAGES, Distribution, Latency, measure
from edgecap_bench.report import Measured, Photo, Report, write_json

if TYPE_CHECKING:
    from edgecap.bundle import Bundle

QUICK = ("--runs", "3", "--warm-up", "1")


@pytest.fixture
def bundle(tiny: Path) -> str:
    return str(tiny)


@pytest.fixture
def broken(tiny: Path, tmp_path: Path) -> str:
    """A bundle with one byte flipped."""
    folder = tmp_path / "broken.edgecap"
    shutil.copytree(tiny, folder)
    member = folder / "encoder.tflite"
    content = bytearray(member.read_bytes())
    content[1_000] ^= 1
    member.write_bytes(content)
    return str(folder)


def test_table_holds_sizes_stages_and_conditions(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", bundle, *QUICK]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    sizes = member_sizes(bundle)
    rows = [(size.name, size.bytes, size.deflated_bytes) for size in sizes]
    for name, *counts in (*rows, ("folder, zip file", folder_bytes(sizes), zip_bytes(sizes))):
        cells = [f"{count / 1e6:.3f}" for count in counts]
        (row,) = (line for line in out.splitlines() if line.startswith(f"  {name} "))
        assert row.split()[-2:] == cells
    for label in STAGES.values():
        assert f"\n  {label} " in out
    assert "3 runs after 1 of warm-up" in out
    assert f"500 x 375, {len(picture.drawn_jpeg()):,} bytes, drawn in memory" in out
    assert conditions.machine().cpu in out


def test_json_is_the_report(
    bundle: str, opened: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", bundle, "--json", "-", "--threads", "1", *QUICK]) == 0
    value = json.loads(capsys.readouterr().out)
    assert list(value)[:2] == ["format", "version"]
    report = schema.from_value(Report, value)
    assert (report.format, report.version) == ("edgecap-bench", 1)
    assert report.photo.path is None
    assert report.photo.file_bytes == len(picture.drawn_jpeg())
    (found,) = report.bundles
    assert isinstance(found, Measured)
    assert (found.path, found.name) == (bundle, opened.manifest.name)
    assert found.setup.bundle_sha256 == opened.manifest.sha256
    assert found.setup.threads == 1
    assert found.sizes.folder_bytes == sum(file.stat().st_size for file in Path(bundle).iterdir())
    assert list(found.latency.stages_ms) == list(STAGES)
    assert (found.latency.runs, found.latency.warm_up) == (3, 1)
    for times in found.latency.stages_ms.values():
        assert 0 <= times.minimum <= times.median <= times.p90


def test_json_file_and_table(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "result.json"
    place.write_text("older")
    assert main(["bench", bundle, "--json", str(place), *QUICK]) == 0
    assert "encoder.tflite" in capsys.readouterr().out
    assert json.loads(place.read_text())["format"] == "edgecap-bench"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("place", ["missing/result.json", "."])
def test_json_that_cannot_be_written(
    bundle: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", bundle, "--json", str(tmp_path / place), *QUICK]) == 1
    out, err = capsys.readouterr()
    assert "encoder.tflite" in out
    assert err.startswith(f"edgecap: --json {tmp_path}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_json_into_a_pipe(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    try:
        assert main(["bench", bundle, "--json", f"/dev/fd/{writer}", *QUICK]) == 0
        assert json.loads(os.read(reader, 65_536))["version"] == 1
    finally:
        os.close(reader)
        os.close(writer)
    assert capsys.readouterr().err == ""


def test_a_write_that_fails_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    place = tmp_path / "result.json"
    place.write_text("older")
    monkeypatch.setattr(Path, "replace", no_room)
    report = Report("edgecap-bench", 1, conditions.machine(), Photo.of(None, (1, 1), b""), ())
    with pytest.raises(EdgecapError, match="No space left"):
        write_json(str(place), report)
    assert place.read_text() == "older"
    assert list(tmp_path.iterdir()) == [place]


def test_one_failing_bundle_does_not_stop_the_others(
    bundle: str, broken: str, opened: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", broken, bundle, "no.edgecap", *QUICK]) == 1
    out, err = capsys.readouterr()
    *_, first, second, third = out.splitlines()
    assert broken in first
    assert "encoder.tflite was changed" in first
    assert second.split()[0] == opened.manifest.name
    assert "no bundle at no.edgecap" in third
    assert [line.startswith("edgecap: ") for line in err.splitlines()] == [True, True]


def test_failing_bundle_in_json(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", broken, "--json", "-", *QUICK]) == 1
    (found,) = json.loads(capsys.readouterr().out)["bundles"]
    assert found["path"] == broken
    assert "encoder.tflite was changed" in found["error"]


def test_the_only_bundle_fails(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", broken, *QUICK]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("  not measured: ")
    assert err.count("\n") == 1


def test_photo_from_a_file(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(tmp_path / "photo.png")
    Image.new("RGB", (120, 90), (200, 30, 30)).save(photo)
    assert main(["bench", bundle, "--photo", photo, "--json", "-", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)["photo"]
    assert (found["path"], found["width"], found["height"]) == (photo, 120, 90)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--runs", "0"), 2, "--runs"),
        (("--warm-up", "-1"), 2, "--warm-up"),
        (("--threads", "65"), 2, "--threads"),
        (("--backend", "onnx"), 2, "--backend"),
        (("--fast",), 2, "--fast"),
        (("--photo", "missing.jpg"), ImageError.exit_code, "missing.jpg"),
    ],
)
def test_bad_options(
    bundle: str,
    arguments: tuple[str, ...],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", bundle, *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


class Parrot:
    """Says what it is given, in turn, and notes when it was asked."""

    def __init__(self, captions: list[str], asked: list[Parrot]) -> None:
        self.bundle = SimpleNamespace(manifest=SimpleNamespace(maximum_words=3))
        self._captions = iter(captions)
        self._asked = asked

    def caption(self, _photo: bytes) -> SimpleNamespace:
        self._asked.append(self)
        text = next(self._captions)
        words = tuple(text.split())
        return SimpleNamespace(text=text, words=words, timings_ms=dict.fromkeys(STAGES, 6.0))


def test_bundles_take_turns_and_other_words_are_an_error() -> None:
    asked: list[Parrot] = []
    steady, fickle = Parrot(["a dog"] * 4, asked), Parrot(["a dog", "a dog", "a cat"], asked)
    first, second = measure([steady, fickle], b"", runs=3, warm_up=1)  # type: ignore[list-item]
    assert asked == [steady, fickle] * 3 + [steady]
    assert isinstance(first, Latency)
    assert (first.caption, first.runs, first.steps) == ("a dog", 3, 3)
    assert isinstance(second, EngineError)
    assert "'a dog' and then 'a cat'" in str(second)


@pytest.mark.parametrize(("words", "steps"), [("", 1), ("a", 2), ("a red dog", 3)])
def test_the_end_is_a_step_unless_the_caption_was_cut(words: str, steps: int) -> None:
    (latency,) = measure([Parrot([words], [])], b"", runs=1, warm_up=0)  # type: ignore[list-item]
    assert isinstance(latency, Latency)
    assert latency.steps == steps
    assert latency.stages_ms["decoder_word"].median == 6 / steps


def test_distribution() -> None:
    assert Distribution.of([5, 1, 4, 2, 3, 6, 8, 7, 10, 9]) == Distribution(5.5, 9, 1)
    assert Distribution.of([2.5]) == Distribution(2.5, 2.5, 2.5)


def test_what_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", unreadable)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "")
    monkeypatch.delattr(os, "getloadavg")
    machine = conditions.machine()
    assert (machine.cpu, machine.architecture) == ("unknown", "unknown")
    assert machine.load_average is None
    assert not machine.disturbed


@pytest.mark.parametrize(
    ("cpuinfo", "cpu"),
    [
        ("model\t\t: 85\nmodel name\t: Some x86 CPU @ 2.00GHz\n", "Some x86 CPU @ 2.00GHz"),
        ("model name\t: ARMv7 rev 3\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
    ],
)
def test_cpu_model(cpuinfo: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: cpuinfo)
    assert conditions.machine().cpu == cpu
