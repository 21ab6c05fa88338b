"""Grid files: what they stand for, and that a malformed one is one line."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecap.contract import NAME
from edgecap.errors import UsageError
from edgecap_converter.grid.file import Entry, built_in_grids, find_grid
from edgecap_converter.plan import PRESETS, Plan, limits


def _file(folder: Path, *rows: Any, **others: Any) -> Path:
    path = folder / "mine.json"
    value = {"format": "edgecap-grid", "version": 1, "rows": list(rows), **others}
    path.write_text(json.dumps(value))
    return path


BOTH = {"encoder_compression": "none", "decoder_compression": "none"}


def test_a_row_says_what_is_made(tmp_path: Path) -> None:
    entry = {
        "name": "first", "preset": "frozen", "encoder": "vgg16", "decoder": "merge",
        "plan": {"size.hidden": 300, "training.learning_rate": 1}, "encoder_weights": "vgg.npz",
        "encoder_compression": "prune:50", "decoder_compression": "qat", "seed": 3,
        "calibration_photos": 0,
    }  # fmt: skip
    grid = find_grid(str(_file(tmp_path, entry, about="Why.")))
    assert (grid.name, grid.about) == ("mine", "Why.")
    (row,) = grid.rows
    expected = PRESETS["frozen"].changed(
        {
            "encoder": "vgg16", "decoder": "merge", "size.hidden": 300,
            "training.learning_rate": 1.0,
        }
    )  # fmt: skip
    assert (row.name, row.plan) == ("first", expected)
    assert type(row.plan.training.learning_rate) is float
    assert (row.encoder_compression, row.decoder_compression) == ("prune:50", "qat")
    assert row.encoder_weights == str(tmp_path / "vgg.npz")
    assert (row.checkpoint, row.seed, row.calibration_photos) == (None, 3, 0)


def test_lists_multiply_and_the_encoders_compression_changes_fastest(tmp_path: Path) -> None:
    entry = {
        "encoder": ["a", "b"], "decoder_compression": ["none", "qat"],
        "encoder_compression": ["none", "prune:50+quantize"],
    }  # fmt: skip
    grid = find_grid(str(_file(tmp_path, entry, defaults={"decoder": "merge"})))
    assert [row.name for row in grid.rows] == [
        "a-none--merge-none", "a-prune-50-quantize--merge-none",
        "a-none--merge-qat", "a-prune-50-quantize--merge-qat",
        "b-none--merge-none", "b-prune-50-quantize--merge-none",
        "b-none--merge-qat", "b-prune-50-quantize--merge-qat",
    ]  # fmt: skip
    assert grid.rows[5].encoder_compression == "prune:50+quantize"


def test_an_entry_takes_what_it_does_not_say_from_the_defaults(tmp_path: Path) -> None:
    defaults = {
        **BOTH, "preset": "frozen", "seed": 1,
        "plan": {"training.epochs": 3, "size.hidden": 64},
    }  # fmt: skip
    rows = ({"name": "x"}, {"name": "y", "seed": 0, "plan": {"training.epochs": 4}})
    x, y = find_grid(str(_file(tmp_path, *rows, defaults=defaults))).rows
    assert (x.seed, x.plan.training.epochs, x.plan.size.hidden) == (1, 3, 64)
    assert (y.seed, y.plan.training.epochs, y.plan.size.hidden) == (0, 4, 64)
    assert y.plan.fine_tuning.epochs == 0


def test_the_papers_grid_is_the_papers_table() -> None:
    assert built_in_grids() == ("paper", "paper-small")
    rows = find_grid("paper").rows
    said = [(row.plan.encoder, row.encoder_compression, row.decoder_compression) for row in rows]
    four = ("none", "quantize", "prune:50", "prune:50+quantize")
    pruned = ("prune:50", "prune:80", "prune:90")
    dense = [(e, d) for d in ("none", "qat") for e in four]
    crossed = [(e, d) for e in ("none", "quantize") for d in pruned]
    vgg16 = [*dense, ("none", "quantize"), ("quantize", "quantize"), *crossed]
    # Their table has neither a pruned ResNet50 with the baseline decoder nor one with PTQ.
    resnet50 = [pair for pair in dense if pair != ("prune:50", "none")] + crossed
    assert said == [("vgg16", *p) for p in vgg16] + [("resnet50", *p) for p in resnet50]
    assert {row.plan.decoder for row in rows} == {"merge"}
    assert len(rows) == 29

    small = find_grid("paper-small").rows
    theirs, ours = small[:16], small[16:]
    assert [(r.encoder_compression, r.decoder_compression) for r in theirs] == vgg16
    assert {row.plan.decoder for row in theirs} == {"merge"}
    assert {row.plan.decoder for row in ours} == {"attention"}
    assert {row.plan.encoder for row in small} == {"mobilenet_v2_0.35"}
    for plan in (row.plan for row in small):
        assert plan.fine_tuning.epochs == plan.sequence.epochs == plan.rehearsal.epochs == 0


def test_the_readmes_example_is_a_grid(tmp_path: Path) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(\{\n  \"format\".*?)```", readme, re.DOTALL)
    path = tmp_path / "mine.json"
    path.write_text(example)
    rows = find_grid(str(path)).rows
    assert (len(rows), rows[-1].name) == (9, "again")


@pytest.mark.parametrize(
    ("rows", "others", "complaint"),
    [
        ([], {}, "has no rows"),
        ([BOTH], {"format": "grid"}, 'does not say "format": "edgecap-grid"'),
        ([BOTH], {"version": 2}, "version 2 is unknown"),
        ([BOTH], {"row": []}, "row is unknown"),
        ([BOTH], {"rows": {}}, "rows: expected tuple"),
        ([{**BOTH, "encodr": "x"}], {}, r"rows\[0\].encodr is unknown"),
        ([BOTH], {"defaults": {"encodr": "x"}}, "defaults.encodr is unknown"),
        ([BOTH, 3], {}, r"rows\[1\]: expected an object"),
        ([{**BOTH, "encoder": 3}], {}, r"rows\[0\].encoder: expected str"),
        ([{**BOTH, "encoder": []}], {}, r"rows\[0\]: encoder is an empty list"),
        ([{"encoder_compression": "none"}], {}, "decoder_compression is missing"),
        ([{**BOTH, "preset": "worst"}], {}, "no preset 'worst'"),
        ([{**BOTH, "plan": {"size.hiden": 3}}], {}, "a plan has no 'size.hiden'"),
        ([{**BOTH, "plan": {"__class__": 3}}], {}, "a plan has no '__class__'"),
        ([{**BOTH, "plan": {"encoder": "x"}}], {}, "encoder stands beside plan"),
        ([{**BOTH, "plan": {"size.hidden": "3"}}], {}, "size.hidden: expected int, got str"),
        ([{**BOTH, "plan": {"size.hidden": True}}], {}, "size.hidden: expected int, got bool"),
        ([{**BOTH, "plan": {"size.hidden": 0}}], {}, "size.hidden is 0: give 1 to 8192"),
        ([{**BOTH, "plan": {"training.epochs": 10**300}}], {}, "give 1 to 10000"),
        ([{**BOTH, "plan": {"training.learning_rate": 0}}], {}, "give more than 0 to 1"),
        ([{**BOTH, "seed": -1}], {}, "seed is -1: give 0 to 2147483647"),
        ([{**BOTH, "calibration_photos": 10_001}], {}, "give 0 to 10000"),
        ([{**BOTH, "name": "../x"}], {}, "'../x' cannot be the name of a bundle"),
        ([{**BOTH, "encoder": "x" * 101}], {}, "cannot be the name of a bundle"),
        ([{**BOTH, "encoder": "\ud800"}], {}, "half a character"),
        ([BOTH, BOTH], {}, "two rows are called efficientnet_lite0-none--attention-none"),
        ([{**BOTH, "name": "a"}, {**BOTH, "name": "A"}], {}, "two rows are called A"),
        ([{**BOTH, "checkpoint": "c", "encoder_weights": "w"}], {}, "leave one of the two out"),
        ([{**BOTH, "encoder": ["x"] * 99, "decoder": ["y"] * 99}], {}, "more than 1,000 rows"),
    ],
)  # fmt: skip
def test_what_is_no_grid(
    tmp_path: Path, rows: list[Any], others: dict[str, Any], complaint: str
) -> None:
    path = _file(tmp_path, *rows, **others)
    with pytest.raises(UsageError, match=complaint) as caught:
        find_grid(str(path))
    assert str(caught.value).startswith(f"--grid {path}: ")


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"{", b'{"format": 1, "format": 1}', b"[" * 9999]
)
def test_what_is_not_even_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="the README says"):
        find_grid(str(path))
    path.write_bytes(b" " * 1_000_001)
    with pytest.raises(UsageError, match="more than 1,000,000 bytes"):
        find_grid(str(path))


def test_a_grid_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a file, or one of paper, paper-small"):
        find_grid("papers")
    with pytest.raises(UsageError, match="Is a directory"):
        find_grid(str(tmp_path))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
)
FIELDS = st.sampled_from([*Entry.__dataclass_fields__, "encodr"])
PATHS = st.sampled_from([*Plan().values(), "size", "size.", ".epochs", "training.epoch"])
ENTRIES = st.dictionaries(FIELDS, ANY | st.dictionaries(PATHS, LEAVES, max_size=3), max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["about", "defaults", "rows", "row"]), ANY)
    | st.fixed_dictionaries(
        {"rows": st.lists(ENTRIES.map(lambda entry: {**BOTH, **entry}), min_size=1, max_size=3)},
        optional={"defaults": ENTRIES},
    )
)
def test_any_file_is_a_grid_or_one_line(value: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.json"
        path.write_text(json.dumps({"format": "edgecap-grid", "version": 1, **value}))
        try:
            grid, complaint = find_grid(str(path)), ""
        except UsageError as error:
            grid, complaint = None, str(error)
    if grid is None:
        assert "\n" not in complaint
        return
    names = [row.name for row in grid.rows]
    assert len({name.casefold() for name in names}) == len(names) > 0
    assert all(NAME.fullmatch(name) for name in names)
    for row in grid.rows:
        assert Plan().changed(row.plan.values()) == row.plan


def test_every_number_of_a_plan_has_limits_and_the_presets_keep_them() -> None:
    for plan in PRESETS.values():
        assert plan.changed(plan.values()) == plan
    for path, value in Plan().values().items():
        if not isinstance(value, str):
            lowest, highest, above = limits(path)
            assert lowest <= value <= highest
            assert not (above and value == lowest)
