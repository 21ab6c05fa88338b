"""`edgecap convert --grid`: rows that share, fail, stop and go on; the table and the picture."""

import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import grid_rows
import numpy as np
import pytest
from conftest import ROOT, command_environment
from shapes import write_corpus

from edgecap.bundle import Bundle
from edgecap.cli import main
from edgecap.errors import UsageError
from edgecap_converter.conversion import convert
from edgecap_converter.grid.picture import POINTS, as_svg
from edgecap_converter.grid.result import (
    Failed,
    GridResult,
    Made,
    RowResult,
    Times,
    read_result,
)
from edgecap_converter.grid.run import convert_grid
from edgecap_converter.grid.table import NAMES, as_markdown, row_values
from edgecap_converter.grid.timing import time_bundles

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "shapes", train=100, dev=20)


def _grid(folder: Path, *rows: dict[str, Any], **defaults: Any) -> Path:
    path = folder / "mine.json"
    # An encoder that the forecast does not know either: it imports no TensorFlow.
    defaults = {"encoder": "tiny", "encoder_compression": "none", **defaults}
    value = {"format": "edgecap-grid", "version": 1, "defaults": defaults, "rows": rows}
    path.write_text(json.dumps(value))
    return path


def _driver(maker: str, grid: Path, corpus: Path, folder: Path) -> "subprocess.Popen[str]":
    """Makes the grid in a process of its own; its standard error can be read."""
    return subprocess.Popen(
        [sys.executable, "-u", grid_rows.__file__, maker, str(grid), str(corpus), str(folder)],
        stderr=subprocess.PIPE, text=True, env=command_environment(), start_new_session=True,
    )  # fmt: skip


def _read_to(child: "subprocess.Popen[str]", beginning: str) -> list[str]:
    """Lines of standard error up to the first with this beginning."""
    assert child.stderr is not None
    lines = []
    for line in child.stderr:
        lines.append(line)
        if line.startswith(beginning):
            return lines
    raise AssertionError(f"no line {beginning!r}: {lines}")


def _kill(child: "subprocess.Popen[str]") -> None:
    child.send_signal(signal.SIGKILL)
    assert child.stderr is not None
    child.stderr.close()
    assert child.wait() == -signal.SIGKILL


def _begun(folder: Path) -> list[str]:
    """Names of the rows that were begun, in order."""
    lines = (folder / "work" / grid_rows.LOG).read_text().splitlines()
    return [line.split()[1].removesuffix(".edgecap") for line in lines]


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "grid").iterdir())


@pytest.fixture(scope="module")
def mixed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GridResult]:
    """A grid of good rows and of every way to fail: its folder and result."""
    folder = tmp_path_factory.mktemp("mixed")
    bad = ("killed", "no-memory", "no-rights", "fault", "full-disk")
    path = _grid(
        folder, *({"name": name, "decoder_compression": name} for name in ("none", *bad)),
        {"name": "pruned", "encoder": "other", "decoder_compression": "prune:50"},
        decoder="lstm",
    )  # fmt: skip
    return folder, convert_grid(grid_rows.asked(path, corpus, folder), grid_rows.copied_row)


def test_a_row_that_fails_says_why_and_the_others_go_on(mixed: tuple[Path, GridResult]) -> None:
    folder, result = mixed
    errors = {row.name: row.error for row in result.rows}
    assert errors.pop("none") is None
    assert errors.pop("pruned") is None
    assert {name: str(error).split(":")[0] for name, error in errors.items()} == {
        "killed": "its process was killed, as the system does where memory runs out",
        "no-memory": "not enough memory",
        "no-rights": f"{HERE / 'nowhere' / 'file'}",
        "fault": "unexpected ValueError (two lines); EDGECAP_DEBUG=1 shows where",
        "full-disk": f"cannot write {folder / 'grid' / 'full-disk.edgecap'}",
    }
    assert _files(folder) == [
        "grid.csv", "grid.json", "grid.md", "grid.svg", "none.edgecap", "pruned.edgecap"
    ]  # fmt: skip
    for name in ("none", "pruned"):
        assert Bundle.open(folder / "grid" / f"{name}.edgecap").manifest.name == name


def test_grid_json_is_the_result(mixed: tuple[Path, GridResult]) -> None:
    folder, result = mixed
    assert read_result(folder / "grid") == result
    assert result.conditions is not None
    assert result.conditions.threads >= 1
    assert result.conditions.machine["cpu"]


def test_the_table_in_csv(mixed: tuple[Path, GridResult]) -> None:
    folder, result = mixed
    with (folder / "grid" / "grid.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(NAMES)
    assert [row["name"] for row in rows] == [row.name for row in result.rows]
    first, failed, last = rows[0], rows[1], rows[-1]
    made, times = result.rows[0].outcome, result.rows[0].times
    assert isinstance(made, Made)
    assert isinstance(times, Times)
    bundle = folder / "grid" / "none.edgecap"
    assert int(first["folder_bytes"]) == sum(f.stat().st_size for f in bundle.iterdir())
    assert int(first["encoder_bytes"]) == (bundle / "encoder.tflite").stat().st_size
    assert int(first["decoder_bytes"]) == (bundle / "decoder.tflite").stat().st_size
    assert int(first["zip_bytes"]) == made.zip_bytes < made.folder_bytes
    assert float(first["cider"]) == made.measured.bundle["cider"]
    assert float(first["float_cider"]) == made.measured.float_model["cider"]
    assert float(first["constant_cider"]) == made.measured.constant_caption["cider"]
    by_hand = times.decode + times.resize + times.encoder + 12 * times.word
    assert float(first["caption_ms"]) == pytest.approx(by_hand, abs=1e-3)
    assert float(first["folder_change"]) == float(first["caption_change"]) == 0.0
    slower = 100 * (float(last["caption_ms"]) / float(first["caption_ms"]) - 1)
    assert float(last["caption_change"]) == pytest.approx(slower, abs=0.01)
    assert (first["status"], last["status"], last["encoder"]) == ("done", "done", "other")
    assert (last["encoder_zeros"], last["decoder_zeros"]) == ("", "50.0")
    assert failed["status"].startswith("failed: its process was killed")
    assert not any(failed[name] for name in NAMES[NAMES.index("folder_bytes") :])


def test_the_table_in_markdown(mixed: tuple[Path, GridResult]) -> None:
    folder, result = mixed
    page = (folder / "grid" / "grid.md").read_text()
    assert page == as_markdown(result)
    lines = [line for line in page.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert len({len(row) for row in cells}) == 1
    table = [dict(zip(map(str.strip, cells[0]), map(str.strip, row), strict=True)) for row in cells]
    values = row_values(result)
    assert table[2]["zip MB"] == f"{values[0]['zip_bytes'] / 1e6:.2f}"  # type: ignore[operator]
    assert table[2]["status"] == "done"
    assert table[5]["status"].startswith("failed: ")
    # The one column no row fills, the other one does.
    assert "encoder zeros, %" not in table[0]
    assert [row["decoder zeros, %"] for row in (table[2], table[-2])] == ["", "50.0"]
    floor = table[-1]
    assert floor["encoder"] == "one constant caption"
    assert floor["CIDEr"] == f"{values[0]['constant_cider']:.1f}"
    for part in ("# Grid mine", "60 photos of dev", "threads: "):
        assert part in page


def test_changes_are_against_the_first_row(mixed: tuple[Path, GridResult]) -> None:
    row = mixed[1].rows[0]
    made, times = row.outcome, row.times
    assert isinstance(made, Made)
    assert isinstance(times, Times)
    sizes = ((1_000, 800), (269, 200))
    rows = [
        dataclasses.replace(
            row,
            outcome=dataclasses.replace(made, folder_bytes=folder, zip_bytes=packed),
            times=Times(1.0, 1.0, encoder, 0.5),
        )
        for (folder, packed), encoder in zip(sizes, (92.0, 12.0), strict=True)
    ]
    changes = ("folder_change", "zip_change", "caption_change")
    _, second = row_values(GridResult("g", "", tuple(rows)))
    assert [second[name] for name in changes] == [-73.1, -75.0, -80.0]
    lost = dataclasses.replace(row, outcome=Failed("why"), times=None)
    _, second = row_values(GridResult("g", "", (lost, rows[1])))
    assert not set(changes) & set(second)


def test_a_bundle_that_does_not_run_is_not_timed_and_the_others_are(
    tiny: Path, tmp_path: Path
) -> None:
    conditions, (broken, sound) = time_bundles([tmp_path / "none.edgecap", tiny])
    assert isinstance(broken, Failed)
    assert "no bundle at" in broken.error
    assert isinstance(sound, Times)
    assert conditions is not None
    assert 0 < sound.word < sound.caption
    row = RowResult("a", "x", "none", "lstm", "none", "0", None, broken)
    assert row.error == broken.error
    assert time_bundles([]) == (None, [])


def test_what_ends_a_cell_does_not_end_it() -> None:
    row = RowResult("a", "x|y", "none", "lstm", "none", "0", Failed("no | such\nthing"))
    page = as_markdown(GridResult("g", "", (row,)))
    assert "x\\|y" in page
    assert "failed: no \\| such thing" in page


def test_the_picture_has_a_point_a_row(mixed: tuple[Path, GridResult]) -> None:
    folder, result = mixed
    content = (folder / "grid" / "grid.svg").read_bytes()
    assert content == as_svg(result)
    name = "{http://www.w3.org/2000/svg}"
    groups = [
        group
        for group in ElementTree.fromstring(content).iter(f"{name}g")
        if group.get("id", "").startswith(POINTS)
    ]
    # One group for the encoder tiny, one for the other.
    assert [len(list(group.iter(f"{name}use"))) for group in groups] == [1, 1]
    text = "".join(ElementTree.fromstring(content).itertext())
    for part in ("photo to caption, ms", "other, lstm", "tiny, lstm", "CIDEr"):
        assert part in text
    assert b"<dc:date>" not in content


def test_a_picture_of_nothing_says_so() -> None:
    row = RowResult("a", "tiny", "none", "lstm", "none", "0", Failed("why"))
    content = as_svg(GridResult("a $ b", "", (row,)))
    text = "".join(ElementTree.fromstring(content).itertext())
    assert "no row could be measured" in text
    assert "a $ b" in text


@pytest.fixture
def three(tmp_path: Path) -> Path:
    recipes = {"none": "none", "quantize": "quantize", "prune50": "prune:50"}
    rows = ({"name": name, "decoder_compression": recipe} for name, recipe in recipes.items())
    return _grid(tmp_path, *rows)


def test_what_is_done_stays_and_what_failed_or_broke_is_made_again(
    corpus: Path, tmp_path: Path, three: Path
) -> None:
    asked = grid_rows.asked(three, corpus, tmp_path)
    first = convert_grid(asked, grid_rows.copied_row)
    assert _begun(tmp_path) == ["none", "quantize", "prune50"]
    again = convert_grid(asked, grid_rows.copied_row)
    assert _begun(tmp_path) == ["none", "quantize", "prune50"]
    assert grid_rows.without_times(again) == grid_rows.without_times(first)

    # A broken bundle, another request for one row, a row that failed.
    (tmp_path / "grid" / "none.edgecap" / "tokenizer.json").write_text("{}")
    _grid(
        tmp_path,
        {"name": "none", "decoder_compression": "none"},
        {"name": "quantize", "decoder_compression": "quantize", "seed": 1},
        {"name": "prune50", "decoder_compression": "prune:50"},
        {"name": "bad", "decoder_compression": "fault"},
    )
    asked = grid_rows.asked(three, corpus, tmp_path)
    changed = convert_grid(asked, grid_rows.copied_row)
    assert _begun(tmp_path)[3:] == ["none", "quantize", "bad"]
    assert [row.error is None for row in changed.rows] == [True, True, True, False]
    convert_grid(asked, grid_rows.copied_row)
    assert _begun(tmp_path)[6:] == ["bad"]


def test_killed_between_rows_it_goes_on_to_the_same_table(
    corpus: Path, tmp_path: Path, three: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = convert_grid(grid_rows.asked(three, corpus, whole), grid_rows.copied_row)
    child = _driver("copied_row", three, corpus, stopped)
    _read_to(child, "row 3 of 3")
    _kill(child)
    noted = read_result(stopped / "grid")
    assert noted is not None
    assert [row.outcome is not None for row in noted.rows[:2]] == [True, True]
    result = convert_grid(grid_rows.asked(three, corpus, stopped), grid_rows.copied_row)
    assert _begun(stopped)[:2] == ["none", "quantize"]
    assert set(_begun(stopped)[2:]) == {"prune50"}
    assert grid_rows.without_times(result) == grid_rows.without_times(expected)
    assert _files(stopped) == _files(whole)


def test_a_row_ends_with_the_command_that_was_killed(corpus: Path, tmp_path: Path) -> None:
    path = _grid(tmp_path, {"decoder_compression": "endless"})
    child = _driver("copied_row", path, corpus, tmp_path)
    _read_to(child, "row 1 of 1")
    log = tmp_path / "work" / grid_rows.LOG
    _wait(log.exists)
    row = int(log.read_text().split()[0])
    os.kill(row, 0)
    _kill(child)
    _wait(lambda: not _runs(row))


def _wait(holds: Any) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # dead, but nobody has asked after it


def test_ctrl_c_ends_command_and_row_in_one_line(corpus: Path, tmp_path: Path) -> None:
    path = _grid(tmp_path, {"decoder_compression": "none"})
    child = subprocess.Popen(
        [sys.executable, "-m", "edgecap", "convert", "--data", corpus, "--grid", path,
         "--output", tmp_path / "grid", "--work", tmp_path / "work"],
        stderr=subprocess.PIPE, text=True, env=command_environment(), start_new_session=True,
    )  # fmt: skip
    lines = _read_to(child, "mine: 1 row,")
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does it
    assert child.stderr is not None
    lines += child.stderr.readlines()
    child.stderr.close()
    assert child.wait(timeout=60) == 130
    assert lines[-1] == "edgecap: interrupted\n"
    assert not any("Traceback" in line for line in lines)
    assert _files(tmp_path) == ["grid.json"]


@pytest.fixture
def arguments(corpus: Path, tmp_path: Path) -> list[str]:
    places = {"--data": corpus, "--output": tmp_path / "grid", "--work": tmp_path / "work"}
    return ["convert", *(str(part) for pair in places.items() for part in pair)]


def test_exit_status_0_if_all_is_done(
    arguments: list[str], corpus: Path, tmp_path: Path, three: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options = ["--grid", str(three), "--encoder-weights", "random", "--calibration-photos", "32"]
    convert_grid(grid_rows.asked(three, corpus, tmp_path), grid_rows.copied_row)
    capsys.readouterr()
    assert main([*arguments, *options]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'grid' / 'grid.md'}: 3 of 3 rows are done\n"
    assert "mine: 3 rows, 3 of them there already" in said.err


def test_exit_status_1_if_a_row_failed(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _grid(tmp_path, {"name": "bad", "decoder_compression": "zip"})
    assert main([*arguments, "--grid", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out.endswith("grid.md: 0 of 1 rows are done\n")
    assert "bad failed: no decoder compression 'zip': choose one of none" in said.err
    assert "failed: no decoder compression 'zip'" in (tmp_path / "grid" / "grid.md").read_text()
    assert _files(tmp_path) == ["grid.csv", "grid.json", "grid.md", "grid.svg"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--grid", "papers"], "--grid papers: cannot be read"),
        (["--grid", "paper", "--encoder", "vgg16"], "--encoder does not go with --grid"),
        (["--grid", "paper", "--checkpoint", "x.npz"], "--checkpoint does not go with --grid"),
        (["--grid", "paper", "--max-quality-loss", "2"], "--max-quality-loss does not go"),
        (["--grid", "paper", "--force"], "--force does not go with --grid"),
        (["--grid", "paper", "--encoder-weights", "x.npz"], "with --grid give a folder"),
        (["--grid", "paper", "--output", str(ROOT)], "holds other things than a grid"),
        (["--grid", "paper", "--output", str(ROOT / "README.md")], "Not a directory"),
    ],
)
def test_exit_status_2_if_the_request_is_wrong(
    arguments: list[str], options: list[str], complaint: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main([*arguments, *options]) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "grid").exists()


def test_a_folder_is_taken_up_only_with_a_sound_note(tmp_path: Path) -> None:
    assert read_result(tmp_path / "nowhere") is None
    (tmp_path / ".grid.json.partial").write_text("{")  # killed at its first write
    assert read_result(tmp_path) is None
    for broken in ("{", '{"format": "edgecap-grid-result", "version": 2}', "[]"):
        (tmp_path / "grid.json").write_text(broken)
        with pytest.raises(UsageError, match="is not what a grid writes"):
            read_result(tmp_path)


def test_in_earnest_rows_share_their_training_and_go_on_inside_it(
    corpus: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, **{"conv_0/kernel": np.zeros((1, 1, 3, 16), np.float32)})
    both = {"encoder_compression": "quantize", "decoder_compression": "quantize"}
    grid = _grid(
        tmp_path,
        {"name": "baseline", "decoder_compression": "none"},
        {"name": "small", **both},
        {"name": "weights", **both, "encoder_weights": "wrong.npz"},
        {"name": "calibration", **both, "calibration_photos": 0},
        {"name": "checkpoint", **both, "checkpoint": str(HERE / "data" / "tiny.npz"),
         "decoder": "lstm"},
        {"name": "disk", **both},
        preset="frozen", decoder="attention",
        plan={
            "size.features": 32, "size.attention": 32, "size.embedding": 32, "size.hidden": 64,
            "maximum_words": 12, "training.epochs": 4, "training.batch": 25,
            "training.learning_rate": 1e-2, "training.dropout": 0.1,
        },
    )  # fmt: skip
    child = _driver("tiny_row", grid, corpus, tmp_path)
    lines = _read_to(child, "training 2/4: dev")
    assert any("tiny with attention: 4 rows" in line for line in lines)
    _kill(child)
    assert not list((tmp_path / "grid").glob("*.edgecap"))

    child = _driver("tiny_row", grid, corpus, tmp_path)
    _, err = child.communicate(timeout=900)
    assert child.returncode == 0, err
    assert "going on after epoch" in err
    result = read_result(tmp_path / "grid")
    assert result is not None
    said = {row.name: row.error for row in result.rows}
    assert said["baseline"] is said["small"] is None
    assert "conv_0/kernel" in str(said["weights"])
    assert "needs calibration photos" in str(said["calibration"])
    assert "has the decoder 'attention', the row says 'lstm'" in str(said["checkpoint"])
    assert said["disk"] is not None
    assert len(list((tmp_path / "work").glob("training-*"))) == 1
    # Of train and dev; of dev once more, by the weights that the checkpoint keeps as float16.
    assert len(list((tmp_path / "work").glob("features-*.npy"))) == 3
    assert [path.name for path in sorted((tmp_path / "grid").iterdir())] == [
        "baseline.edgecap", "grid.csv", "grid.json", "grid.md", "grid.svg", "small.edgecap"
    ]  # fmt: skip

    # A row is what `edgecap convert` makes of the same request.
    asked = grid_rows.asked(grid, corpus, tmp_path)
    small = result.rows[1].outcome
    assert isinstance(small, Made)
    alone = dataclasses.replace(
        asked.request(asked.grid.rows[1]), output=tmp_path / "alone" / "small.edgecap"
    )
    grid_rows.know_tiny()
    assert convert(alone).sha256 == small.sha256
