"""The long run of `benchmarks/check_robustness.py`, made in pieces."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

import check_robustness
from check_robustness import Row


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page goes; its parts, `first` and `second`, say what `second` counts."""
    calls: list[str] = []

    def first(_share: float) -> Iterator[Row]:
        calls.append("first")
        yield Row("the first", f"call {len(calls)}", "any", True)

    def second(_share: float) -> Iterator[Row]:
        calls.append("second")
        if len(calls) == 2:
            raise OSError("no luck")
        yield Row("the second", f"call {len(calls)}", "any", True)

    monkeypatch.setattr(check_robustness, "PARTS", {"first": first, "second": second})
    monkeypatch.setattr(check_robustness, "RESULTS", tmp_path / "page.md")
    monkeypatch.setattr(check_robustness, "KEPT", tmp_path / "page.json")
    return tmp_path / "page.md"


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["check_robustness.py", *arguments])
    return check_robustness.main()


def test_a_part_tried_again_stands_beside_those_that_were_kept(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(monkeypatch, "--write") == 1
    assert "| second | could not be tried (OSError: no luck) |" in page.read_text()
    assert _run(monkeypatch, "--write", "--only", "second") == 0
    assert page.read_text().splitlines()[-2:] == [
        "| the first | call 1 | any | yes |",
        "| the second | call 3 | any | yes |",
    ]


def test_rows_of_another_machine_are_not_kept(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, "--write", "--only", "first")
    monkeypatch.setattr(check_robustness, "as_text", lambda _machine: "another machine")
    _run(monkeypatch, "--write", "--only", "second")
    assert "the first" not in page.read_text()


def test_a_smaller_run_is_not_written(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as caught:
        _run(monkeypatch, "--write", "--share", "0.1")
    assert caught.value.code == 2
    assert not page.exists()
