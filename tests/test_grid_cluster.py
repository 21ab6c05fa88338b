"""`edgecap convert --grid --cluster`: rows as tasks of Ray, on nodes on loopback."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import grid_rows
import loopback
import pytest
from shapes import write_corpus

from edgecap.bundle import Bundle
from edgecap.cli import main
from edgecap.errors import UsageError
from edgecap_converter.grid.requests import GridConversion
from edgecap_converter.grid.result import Made
from edgecap_converter.grid.run import convert_grid


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "shapes", train=60, dev=10)


def _asked(
    corpus: Path, folder: Path, cluster: str | None, *rows: dict[str, Any], **defaults: Any
) -> GridConversion:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.json"
    defaults = {"encoder": "tiny", "encoder_compression": "none", **defaults}
    value = {"format": "edgecap-grid", "version": 1, "defaults": defaults, "rows": rows}
    path.write_text(json.dumps(value))
    return dataclasses.replace(grid_rows.asked(path, corpus, folder), cluster=cluster)


def test_rows_of_different_encoders_are_made_at_once_and_those_of_one_in_turn(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        {"name": "a1"}, {"name": "a2"}, {"name": "lost"}, {"name": "a3"},
        {"name": "b1", "encoder": "other"}, {"name": "b2", "encoder": "other"},
        {"name": "bad", "encoder": "other", "decoder_compression": "fault"},
    )  # fmt: skip
    with loopback.ray_nodes(2) as cluster:
        asked = _asked(corpus, tmp_path, cluster.address, *rows, decoder_compression="none")
        result = convert_grid(asked, grid_rows.meeting_row)
        again = convert_grid(asked, grid_rows.meeting_row)
    errors = {row.name: row.error for row in result.rows if row.error is not None}
    assert errors.keys() == {"lost", "bad"}
    assert "lost.edgecap is not shared: give all machines the same folders" in errors["lost"]
    assert errors["bad"] == "unexpected ValueError (two lines); EDGECAP_DEBUG=1 shows where"
    for row in result.rows:
        if isinstance(row.outcome, Made):
            made = Bundle.open(asked.output / f"{row.name}.edgecap")
            assert made.manifest.sha256 == row.outcome.sha256
    spans = [line.split() for line in (asked.work / grid_rows.SPANS).read_text().splitlines()]
    first = {name: (float(begin), float(end)) for name, begin, end in reversed(spans)}
    for before, after in (("a1", "a2"), ("a2", "lost"), ("lost", "a3"), ("b1", "b2")):
        assert first[before][1] <= first[after][0]
    # What is there is not made again.
    assert [name for name, *_ in spans].count("a1") == 1
    assert grid_rows.without_times(again) == grid_rows.without_times(result)
    said = capsys.readouterr()
    assert "row 5 of 7: b1" in said.err
    assert said.out == ""


def test_in_earnest_a_local_cluster_makes_the_same_bundles(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra cluster")
    plan = {
        "size.features": 16, "size.attention": 16, "size.embedding": 16, "size.hidden": 32,
        "minimum_count": 1, "maximum_words": 12, "training.epochs": 1,
    }  # fmt: skip
    rows = ({"name": "baseline"}, {"name": "small", "encoder_compression": "quantize"})
    defaults = {"preset": "frozen", "plan": plan, "decoder_compression": "none"}
    results = []
    with loopback.settings():
        for name, cluster in (("alone", None), ("local", "local")):
            asked = _asked(corpus, tmp_path / name, cluster, *rows, **defaults)
            results.append(convert_grid(asked, grid_rows.tiny_row))
            # Both rows start from one training.
            assert len(list(asked.work.glob("training-*"))) == 1
    alone, local = map(grid_rows.without_times, results)
    assert [row.error for row in local.rows] == [None, None]
    assert local == alone


def test_a_cluster_is_for_grids_and_has_to_answer(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="needs the extra cluster")
    options = ("--data", str(corpus), "--output", str(tmp_path / "x.edgecap"))
    assert main(["convert", *options, "--cluster", "auto"]) == 2
    assert "--cluster needs --grid" in capsys.readouterr().err
    asked = _asked(corpus, tmp_path, "127.0.0.1:9", {"name": "a", "decoder_compression": "none"})
    with pytest.raises(UsageError, match="no Ray cluster of which this machine is"):
        convert_grid(asked, grid_rows.copied_row)
