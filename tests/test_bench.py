"""`edgecap bench`: what it measures, says and writes. How long anything took is never asserted."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from shapes import write_corpus

from edgecap import schema
from edgecap.cli import main
from edgecap.errors import DatasetError, EdgecapError, EngineError, ImageError, UsageError
from edgecap.sizes import member_sizes, zip_bytes
from edgecap_bench import picture, processes, rounds, session
from edgecap_bench.latency import STAGES, WORD, Distribution, measure
from edgecap_bench.report import (
    Failed,
    Measured,
    Plan,
    Report,
    as_json,
    from_json,
    write_text,
)
from edgecap_bench.rounds import Subject
from edgecap_bench.session import Order, carry_out
from edgecap_bench.worker import Answer, Request
from edgecap_runtime import Captioner

if typing.TYPE_CHECKING:
    from edgecap.bundle import Bundle

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("--rounds", "1", "--runs", "2", "--warm-up", "1")


@pytest.fixture
def canned(report: Report, monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """`edgecap bench` gives `report` at once; what was ordered is noted here."""
    ordered = []

    def give(order: Order, _: object) -> tuple[Report, list[object]]:
        ordered.append(order)
        return report, []

    monkeypatch.setattr(session, "carry_out", give)
    return ordered


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


# What is measured


def test_everything_is_measured(report: Report, tiny: Path, opened: Bundle) -> None:
    (found,) = report.measured
    photo = picture.drawn_jpeg()
    expected = Captioner.load(tiny, threads=1).caption(photo)
    assert (found.path, found.name) == (str(tiny), opened.manifest.name)
    assert found.commit == opened.manifest.origin.commit
    assert (found.setup.bundle_sha256, found.setup.threads) == (opened.manifest.sha256, 1)
    assert found.caption == expected.text
    assert found.steps == len(expected.words) + 1
    assert list(found.stages_ms) == list(STAGES)
    for times in (found.cold_start_ms, found.load_ms, *found.stages_ms.values()):
        assert times.p99 is not None
        assert 0 < times.minimum <= times.median <= times.p90 <= times.p99
    assert [times.runs for times in found.stages_ms.values()] == [6] * len(STAGES)
    assert (found.cold_start_ms.runs, found.load_ms.runs) == (2, 2)
    # A cold start imports, loads and captions.
    assert found.cold_start_ms.minimum > found.load_ms.minimum
    assert Distribution.of(found.totals_ms) == found.stages_ms["total"]
    assert 0 < found.bulk.minimum <= found.bulk.median <= found.bulk.maximum
    assert found.bulk.photos == report.plan.runs
    sizes = member_sizes(tiny)
    assert found.sizes.folder_bytes == sum(file.stat().st_size for file in tiny.iterdir())
    assert found.sizes.zip_bytes == zip_bytes(sizes)
    assert found.quality is None


def test_memory_and_work(report: Report, opened: Bundle) -> None:
    (found,) = report.measured
    resident, peak = found.memory.resident_bytes, found.memory.peak_bytes
    assert resident is not None
    assert peak is not None
    assert 20e6 < resident <= peak < 200e6
    for name, graph in (("encoder", opened.manifest.encoder), (WORD, opened.manifest.decoder)):
        work = found.work[name]
        assert work.multiply_accumulates == graph.multiply_accumulates
        seconds = found.stages_ms[name].median / 1_000
        assert work.per_second == pytest.approx(work.multiply_accumulates / seconds, rel=1e-6)


def test_the_environment_holds_our_packages_and_the_engine(report: Report) -> None:
    found = report.installed
    ours = sum(
        path.stat().st_size
        for folder in ("edgecap", "runtime/edgecap_runtime")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    )
    assert found.bytes > ours + 10e6  # numpy alone has more
    assert found.distributions >= 4


def test_distribution() -> None:
    assert Distribution.of([5, 1, 4, 2, 3, 6, 8, 7, 10, 9]) == Distribution(5.5, 9, 1, 10, 10)
    assert Distribution.of([2.5]) == Distribution(2.5, 2.5, 2.5, 2.5, 1)
    assert Distribution.of(range(1, 201)) == Distribution(100.5, 180, 1, 198, 200)


class Parrot:
    """Says what it is given, in turn."""

    def __init__(self, captions: list[str]) -> None:
        manifest = types.SimpleNamespace(maximum_words=3)
        self.bundle = types.SimpleNamespace(manifest=manifest)
        self._captions = iter(captions)

    def caption(self, _photo: bytes) -> types.SimpleNamespace:
        text = next(self._captions)
        timings = dict.fromkeys(STAGES, 6.0)
        return types.SimpleNamespace(text=text, words=tuple(text.split()), timings_ms=timings)


def test_other_words_are_an_error() -> None:
    with pytest.raises(EngineError, match="'a dog' and then 'a cat'"):
        measure(Parrot(["a dog", "a dog", "a cat"]), b"", runs=2, warm_up=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "steps"), [("", 1), ("a", 2), ("a red dog", 3)])
def test_the_end_is_a_step_unless_the_caption_was_cut(words: str, steps: int) -> None:
    latency = measure(Parrot([words]), b"", runs=1, warm_up=0)  # type: ignore[arg-type]
    assert latency.steps == steps
    assert latency.times_ms[WORD] == (6 / steps,)


# Turns


class Turns:
    """Takes the place of the processes: notes whose turn it is, and lets one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
        self.taken: list[str] = []
        self.said = "a dog"
        self._answer = answer
        monkeypatch.setattr(rounds, "cold_start", self._cold_start)
        monkeypatch.setattr(rounds, "measured", self._measured)

    def _cold_start(self, _photo: str, options: tuple[str, ...]) -> tuple[str, float]:
        self.taken.append(f"cold {options[1]}")
        return self.said, 1.0

    def _measured(self, request: Request) -> Answer:
        self.taken.append(request.bundle)
        if request.bundle == "bad" and self.taken.count("bad") == 2:
            raise EngineError("it broke")
        latency = dataclasses.replace(self._answer.latency, caption=self.said)
        return dataclasses.replace(self._answer, latency=latency)


@pytest.fixture
def turns(tiny: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> Turns:
    answer = processes.measured(Request(str(tiny), 1, "auto", str(photo), 0, 1))
    return Turns(monkeypatch, answer)


def test_bundles_take_turns_in_alternating_order(turns: Turns, tiny: Path) -> None:
    subjects = [Subject(path, "auto", 1) for path in (str(tiny), "bad")]
    first, second = rounds.measure(subjects, "photo", Plan(3, 1, 0), lambda _: None)
    a, bad = [f"cold {tiny}", str(tiny)], ["cold bad", "bad"]
    # Each begins with a cold start that does not count; who fails takes no more turns.
    assert turns.taken == [a[0], *a, bad[0], *bad, *bad, *a, *a]
    assert isinstance(first, Measured)
    assert first.cold_start_ms.runs == 3
    assert second == Failed("bad", "bad: it broke")


def test_other_words_in_another_process_are_an_error(turns: Turns, tiny: Path) -> None:
    def tell(turn: str) -> None:
        turns.said = turn[:7]

    (found,) = rounds.measure([Subject(str(tiny), "auto", 1)], "photo", Plan(2, 1, 0), tell)
    assert isinstance(found, Failed)
    assert "'round 1' and then 'round 2'" in found.error


def test_a_worker_that_dies_says_so(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "executable", shutil.which("false"))
    with pytest.raises(EngineError, match="exit status 1"):
        processes.measured(Request("x", 1, "auto", str(photo), 0, 1))
    with pytest.raises(EngineError, match="exit status 1"):
        processes.cold_start(str(photo), ())
    assert "signal 9" in processes._reason(-9, b"")


def test_threads_and_engines_are_swept(canned: list[Order], tiny: Path) -> None:
    options = ("--threads", "1, 4,1", "--backend", "litert,tflite-runtime")
    assert main(["bench", str(tiny), "other.edgecap", *options]) == 0
    (order,) = canned
    assert order.bundles == (str(tiny), "other.edgecap")
    assert order.threads == (1, 4)
    assert order.backends == ("litert", "tflite-runtime")


def test_one_failing_bundle_does_not_stop_the_others(
    tiny: Path, broken: str, opened: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", broken, str(tiny), "no.edgecap", *QUICK]) == 1
    out, err = capsys.readouterr()
    table = out.splitlines()
    head = next(index for index, line in enumerate(table) if line.startswith("  in turns"))
    assert table[head + 1].split()[0] == opened.manifest.name
    for line, path, reason in (
        (table[head + 2], broken, "encoder.tflite was changed"),
        (table[head + 3], "no.edgecap", "no bundle at"),
    ):
        assert line.startswith("  not measured: ")
        assert path in line
        assert reason in line
    assert [line.startswith("edgecap: ") for line in err.splitlines()] == [True, True]
    assert table[-1].startswith("| ")


def test_the_only_bundle_fails(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", broken, *QUICK, "--json", "-"]) == 1
    out, err = capsys.readouterr()
    (found,) = json.loads(out)["bundles"]
    assert found["path"] == broken
    assert "encoder.tflite was changed" in found["error"]
    assert err.count("\n") == 1


# Quality


def test_quality_beside_its_floor(tiny: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", train=1, dev=3)
    order = Order((str(tiny),), ("auto",), (1, 2), Plan(1, 1, 0), dataset=str(corpus))
    found, shown = carry_out(order, lambda _: None)
    first, second = found.measured
    assert first.quality == second.quality
    assert first.quality is not None
    assert (first.quality.dataset, first.quality.split, first.quality.photos) == (
        "corpus",
        "dev",
        3,
    )
    # The tiny bundle was trained on such shapes; nothing of the constant caption is true of them.
    assert first.quality.bundle["bleu_1"] > 1.5 * first.quality.constant_caption["bleu_1"]
    assert len(shown) == 3
    assert [one.cider for one in shown] == sorted(one.cider for one in shown)
    captions = [caption for one in shown for caption in one.references]
    assert len(captions) == 15
    for one in shown:
        assert [said.caption for said in one.said] == [
            Captioner.load(tiny).caption(one.path).text
        ] * 2
    mean = sum(one.cider for one in shown) / 3
    assert mean == pytest.approx(first.quality.bundle["cider"], abs=1e-3)


def test_a_corpus_that_is_none_stops_before_anything_is_measured(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tiny), "--data", str(tmp_path)]) == DatasetError.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


# Reports


@pytest.mark.usefixtures("canned")
def test_table_holds_everything(
    report: Report, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tiny)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (found,) = report.measured
    lines = out.splitlines()
    rows = {name: [s.bytes, s.deflated_bytes] for name, s in found.sizes.members.items()}
    rows["folder, zip file"] = [found.sizes.folder_bytes, found.sizes.zip_bytes]
    for name, counts in rows.items():
        (row,) = (line for line in lines if line.startswith(f"  {name} "))
        assert row.split()[-2:] == [f"{count / 1e6:.3f}" for count in counts]
    times = {label: found.stages_ms[stage] for stage, label in STAGES.items()}
    for label, one in {**times, "cold start": found.cold_start_ms, "load": found.load_ms}.items():
        row = next(line for line in lines if line.startswith(f"  {label}  "))
        expected = [f"{value:,.3f}" for value in (one.median, one.p90, one.p99, one.minimum)]  # type: ignore[str-format]
        assert row.split()[-5:] == [*expected, str(one.runs)]
    assert "2 rounds in new processes; in each 1 cold start, and 3 runs after 1 of warm-up" in out
    assert report.conditions.machine.cpu in out
    assert report.conditions.distribution in out


@pytest.mark.usefixtures("canned")
def test_the_last_line_is_a_row_to_paste(
    report: Report, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tiny)]) == 0
    head, rule, row = capsys.readouterr().out.splitlines()[-3:]
    assert head.count("|") == rule.count("|") == row.count("|")
    assert report.conditions.machine.cpu in row
    assert report.measured[0].setup.bundle_sha256[:12] in row
    assert report.conditions.machine.architecture in row


def test_a_disturbed_run_says_so(
    report: Report, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conditions = dataclasses.replace(report.conditions, warnings=("under-voltage",))
    told = dataclasses.replace(report, conditions=conditions)
    monkeypatch.setattr(session, "carry_out", lambda *_: (told, []))
    assert main(["bench", str(tiny)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("under-voltage: these times are longer" in line for line in lines)
    assert "**under-voltage**" in lines[-1]


def test_json_is_the_report(report: Report) -> None:
    content = as_json(report)
    assert list(json.loads(content))[:2] == ["format", "version"]
    assert from_json(content.encode(), "here") == report


def fields(record: typing.Any, prefix: str) -> Iterator[str]:
    """Every field that a record's JSON may have, as benchmarks/README.md writes them."""
    if dataclasses.is_dataclass(record):
        for name, hint in typing.get_type_hints(record).items():
            path = f"{prefix}.{name}".lstrip(".")
            inner = list(fields(hint, path))
            if not any(one.startswith((f"{path}[]", f"{path}{{}}")) for one in inner):
                yield path
            yield from inner
        return
    choices, suffix = typing.get_args(record), ""
    if typing.get_origin(record) is tuple:
        choices, suffix = choices[:1], "[]"
    elif typing.get_origin(record) is dict:
        choices, suffix = choices[1:], "{}"
    if suffix:
        yield f"{prefix}{suffix}"
    for choice in choices:
        yield from fields(choice, f"{prefix}{suffix}")


def test_every_field_of_the_json_is_documented() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    section = text.partition("## What `edgecap bench --json` writes")[2]
    cells = (line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `"))
    documented = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    like = {
        "conditions.after.": "conditions.before.",
        "bundles[].cold_start_ms.": "bundles[].stages_ms{}.",
        "bundles[].load_ms.": "bundles[].stages_ms{}.",
    }

    def described(name: str) -> str:
        return next((name.replace(a, b) for a, b in like.items() if name.startswith(a)), name)

    assert set(map(described, fields(Report, ""))) == documented


@pytest.mark.usefixtures("canned")
def test_json_file_and_table(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "result.json"
    place.write_text("older")
    assert main(["bench", str(tiny), "--json", str(place)]) == 0
    assert "encoder.tflite" in capsys.readouterr().out
    assert json.loads(place.read_text())["format"] == "edgecap-bench"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("place", ["missing/result.json", "."])
@pytest.mark.usefixtures("canned")
def test_json_that_cannot_be_written(
    tiny: Path,
    place: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", str(tiny), "--json", str(tmp_path / place)]) == 1
    out, err = capsys.readouterr()
    assert "encoder.tflite" in out
    assert err.startswith(f"edgecap: --json {tmp_path}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("canned")
def test_json_into_a_pipe(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    try:
        assert main(["bench", str(tiny), "--json", f"/dev/fd/{writer}"]) == 0
        assert json.loads(os.read(reader, 65_536))["version"] == 2
    finally:
        os.close(reader)
        os.close(writer)
    assert capsys.readouterr().err == ""


def test_a_write_that_fails_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = tmp_path / "result.json"
    place.write_text("older")
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(EdgecapError, match="No space left"):
        write_text("--json", str(place), "newer")
    assert place.read_text() == "older"
    assert list(tmp_path.iterdir()) == [place]


# Baselines

Change = Callable[..., Report]


@pytest.fixture
def changed(report: Report) -> Change:
    """The report with other fields of its bundle, or of its machine."""

    def change(cpu: str | None = None, **bundle: object) -> Report:
        (one,) = report.measured
        conditions = report.conditions
        machine = dataclasses.replace(conditions.machine, cpu=cpu or conditions.machine.cpu)
        return dataclasses.replace(
            report,
            conditions=dataclasses.replace(conditions, machine=machine),
            bundles=(dataclasses.replace(one, **bundle),),  # type: ignore[arg-type]
        )

    return change


def slower(times: Distribution, percent: float) -> Distribution:
    return dataclasses.replace(times, median=times.median * (1 + percent / 100))


@pytest.mark.parametrize(
    ("percent", "options", "status"),
    [(9, (), 0), (12, (), 1), (12, ("--tolerance", "15"), 0), (-50, (), 0)],
)
@pytest.mark.usefixtures("canned")
def test_a_regression_beyond_the_tolerance_is_status_1(
    percent: float,
    options: tuple[str, ...],
    status: int,
    report: Report,
    changed: Change,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (one,) = report.measured
    earlier = changed(cold_start_ms=slower(one.cold_start_ms, 100 / (1 + percent / 100) - 100))
    place = tmp_path / "earlier.json"
    place.write_text(as_json(earlier))
    assert main(["bench", "--baseline", str(place), *options]) == status
    out, err = capsys.readouterr()
    (row,) = (line for line in out.splitlines() if line.startswith("  cold start, ms"))
    assert f"{percent:+.1f} %" in row
    assert row.endswith("worse") == bool(status)
    assert err.count("\n") == status
    if status:
        assert "cold start, ms" in err
        assert "12.0 % worse" in err
    assert out.splitlines()[-1].startswith("| ")


@pytest.mark.usefixtures("canned")
def test_fewer_captions_a_second_are_worse(
    report: Report,
    changed: Change,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bulk = report.measured[0].bulk
    place = tmp_path / "earlier.json"
    place.write_text(as_json(changed(bulk=dataclasses.replace(bulk, median=2 * bulk.median))))
    assert main(["bench", "--baseline", str(place)]) == 1
    assert "50.0 % worse" in capsys.readouterr().err


@pytest.mark.usefixtures("canned")
def test_times_of_another_machine_are_not_compared(
    report: Report,
    changed: Change,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (one,) = report.measured
    sizes = dataclasses.replace(one.sizes, zip_bytes=one.sizes.zip_bytes // 2)
    fast = slower(one.cold_start_ms, -90)
    earlier = changed(cpu="Another", sizes=sizes, cold_start_ms=fast)
    place = tmp_path / "earlier.json"
    place.write_text(as_json(earlier))
    assert main(["bench", "--baseline", str(place)]) == 1
    out, err = capsys.readouterr()
    assert "cold start, ms" not in out.partition("baseline")[2].partition("| machine")[0]
    assert "zip, bytes" in err
    assert "another machine" in out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "expected edgecap-bench 2"),
        ('{"format": "edgecap-bench", "version": 1}', "expected edgecap-bench 2"),
        ('{"format": "edgecap-bench", "version": 2}', "not what edgecap bench --json writes"),
        ("[", "not what edgecap bench --json writes"),
        (None, "cannot be read"),
    ],
)
def test_a_baseline_that_is_none(
    content: str | None,
    said: str,
    canned: list[Order],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "earlier.json"
    if content is not None:
        place.write_text(content)
    assert main(["bench", "--baseline", str(place)]) == UsageError.exit_code
    out, err = capsys.readouterr()
    assert (out, canned) == ("", [])
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("canned")
def test_a_baseline_of_another_bundle(
    changed: Change,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "earlier.json"
    place.write_text(as_json(changed(name="other", path="other.edgecap")))
    assert main(["bench", "--baseline", str(place)]) == 1
    out, err = capsys.readouterr()
    assert "nothing to compare" in err
    assert "encoder.tflite" in out


# Options


def test_photo_from_a_file(tmp_path: Path, tiny: Path) -> None:
    photo = str(tmp_path / "photo.png")
    Image.new("RGB", (120, 90), (200, 30, 30)).save(photo)
    order = Order((str(tiny),), ("auto",), (1,), Plan(1, 1, 0), photo)
    found, _ = carry_out(order, lambda _: None)
    assert (found.photo.path, found.photo.width, found.photo.height) == (photo, 120, 90)
    assert found.measured[0].caption == Captioner.load(tiny).caption(photo).text


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--rounds", "0"), 2, "--rounds"),
        (("--runs", "0"), 2, "--runs"),
        (("--warm-up", "-1"), 2, "--warm-up"),
        (("--threads", "1,65"), 2, "--threads"),
        (("--threads", "1,"), 2, "--threads"),
        (("--backend", "litert,onnx"), 2, "--backend"),
        (("--tolerance", "-1"), 2, "--tolerance"),
        (("--fast",), 2, "--fast"),
        (("--photo", "missing.jpg"), ImageError.exit_code, "missing.jpg"),
    ],
)
def test_bad_options(
    tiny: Path,
    arguments: tuple[str, ...],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", str(tiny), *arguments]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_labels_tell_bundles_apart(report: Report) -> None:
    (one,) = report.measured

    def labels(*bundles: Measured) -> list[str]:
        return dataclasses.replace(report, bundles=bundles).labels()

    other = dataclasses.replace(one, path="other.edgecap")
    two_threads = dataclasses.replace(one, setup=dataclasses.replace(one.setup, threads=2))
    assert labels(one) == ["tiny"]
    assert labels(one, dataclasses.replace(other, name="other")) == ["tiny", "other"]
    assert labels(one, other) == [f"tiny, {one.path}", "tiny, other.edgecap"]
    assert labels(one, two_threads) == ["tiny, threads: 1", "tiny, threads: 2"]


def test_schema_reads_results_from_before_the_99th_percentile() -> None:
    older = {"median": 2.0, "p90": 3.0, "minimum": 1.0}
    assert schema.from_value(Distribution, older) == Distribution(2.0, 3.0, 1.0)
