"""The grid file: which captioners a grid has, as JSON.

    {
      "format": "edgecap-grid",
      "version": 1,
      "about": "What this grid is for; stands above its table.",
      "defaults": {"preset": "frozen", "decoder": "lstm", "plan": {"training.epochs": 10}},
      "rows": [
        {"encoder": "mobilenet_v2_1.0", "encoder_compression": ["none", "quantize"],
         "decoder_compression": ["none", "quantize"]}
      ]
    }

Fields of `Entry` alone may stand in an entry of `rows`, and in `defaults`, which an entry without
them takes. Where one of the four choices (`encoder`, `decoder` and their compressions) is a list,
the entry stands for a row for each combination: encoder by encoder, then decoder, then the
decoder's compression, the encoder's changing fastest.

Whether there is such an encoder, decoder or recipe is found out when its row is made.
"""

import itertools
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgecap import schema
from edgecap.contract import NAME
from edgecap.errors import UsageError
from edgecap_converter.plan import Plan, find_preset

FORMAT, VERSION = "edgecap-grid", 1
MAXIMUM_BYTES, MAXIMUM_ROWS = 1_000_000, 1_000
MAXIMUM_SEED, MAXIMUM_CALIBRATION_PHOTOS = 2**31 - 1, 10_000
# In the order in which rows follow each other.
CHOICES = ("encoder", "decoder", "decoder_compression", "encoder_compression")

_BUILT_IN = Path(__file__).with_name("builtin")
Choice = str | tuple[str, ...] | None


@dataclass(frozen=True)
class Entry:
    """One entry of the file; None is what it does not say."""

    name: str | None
    """Of its row, and of the bundle. By default made of the four choices; before that if the entry
    stands for several rows."""
    preset: str | None
    """Of `edgecap convert`; "best" if nothing says another."""
    plan: dict[str, str | bool | int | float] | None
    """Changes of the preset by path; those of `defaults` that are not changed again stay."""
    encoder: Choice
    decoder: Choice
    encoder_compression: Choice
    decoder_compression: Choice
    encoder_weights: str | None
    """A file, looked for beside the grid file, or "random"."""
    checkpoint: str | None
    """A trained model to compress, likewise a file, instead of training one by `preset` and `plan`;
    `encoder` and `decoder` must be those of the checkpoint."""
    seed: int | None
    """Instead of that of the command."""
    calibration_photos: int | None
    """Likewise."""


@dataclass(frozen=True)
class File:
    """The whole file."""

    format: str
    version: int
    about: str | None
    defaults: Entry
    rows: tuple[Entry, ...]


@dataclass(frozen=True)
class Row:
    """One captioner to make; None is what the command decides."""

    name: str
    plan: Plan
    encoder_compression: str
    decoder_compression: str
    encoder_weights: str | None
    checkpoint: str | None
    seed: int | None
    calibration_photos: int | None


@dataclass(frozen=True)
class Grid:
    """A grid's rows, each with a name of its own."""

    name: str
    about: str
    rows: tuple[Row, ...]


def built_in_grids() -> tuple[str, ...]:
    """The names of the grids that come with edgecap."""
    return tuple(sorted(path.stem for path in _BUILT_IN.glob("*.json")))


def find_grid(source: str) -> Grid:
    """A built-in grid by its name, or the grid of a file.

    Raises:
        UsageError: if there is no such grid, or the file is not a grid.
    """
    known = built_in_grids()
    path = _BUILT_IN / f"{source}.json" if source in known else Path(source)
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"--grid {source}: cannot be read ({error.strerror}): give a file, or one of "
            f"{', '.join(known)}"
        ) from error
    try:
        return Grid(path.stem, *_read(content, path.parent))
    except (schema.SchemaError, UsageError) as error:
        complaint = " ".join(str(error).split())
        raise UsageError(
            f"--grid {source}: {complaint}; the README says what a grid file holds"
        ) from error


def _read(content: bytes, folder: Path) -> tuple[str, tuple[Row, ...]]:
    if len(content) > MAXIMUM_BYTES:
        raise UsageError(f"has more than {MAXIMUM_BYTES:,} bytes")
    file = _parse(content)
    rows: list[Row] = []
    for index, entry in enumerate(file.rows):
        try:
            rows += _rows(entry, file.defaults, folder)
        except UsageError as error:
            raise UsageError(f"rows[{index}]: {error}") from error
        if len(rows) > MAXIMUM_ROWS:
            raise UsageError(f"has more than {MAXIMUM_ROWS:,} rows")
    if not rows:
        raise UsageError("has no rows")
    names: set[str] = set()
    for row in rows:
        # Not every file system tells capitals apart.
        if row.name.casefold() in names:
            raise UsageError(f"two rows are called {row.name}: give one another name")
        names.add(row.name.casefold())
    return file.about or "", tuple(rows)


def _parse(content: bytes) -> File:
    value = schema.parse(content)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise UsageError(f'does not say "format": "{FORMAT}"')
    if value.get("version") != VERSION:
        raise UsageError(
            f"version {str(value.get('version'))[:20]} is unknown, this edgecap reads {VERSION}"
        )
    try:
        schema.canonical(value)
    except UnicodeEncodeError:
        raise UsageError("holds half a character (an unpaired surrogate)") from None
    rows = value.get("rows")
    value = {
        "about": None,
        **value,
        "defaults": _filled(value.get("defaults", {})),
        "rows": [_filled(row) for row in rows] if isinstance(rows, list) else rows,
    }
    return schema.from_value(File, value)


def _filled(entry: Any) -> Any:
    """With None for what is not there."""
    if not isinstance(entry, dict):
        return entry
    return {**dict.fromkeys(field.name for field in fields(Entry)), **entry}


def _rows(entry: Entry, defaults: Entry, folder: Path) -> list[Row]:
    said, otherwise = vars(entry), vars(defaults)
    both = {name: otherwise[name] if said[name] is None else said[name] for name in said}
    if None not in (said["encoder_weights"], both["checkpoint"]):
        raise UsageError("a checkpoint holds its encoder_weights: leave one of the two out")
    plan = find_preset(both["preset"] or "best").changed(_changes(entry, defaults))
    choices = [_choice(name, both[name], plan) for name in CHOICES]
    if math.prod(map(len, choices)) > MAXIMUM_ROWS:
        raise UsageError(f"stands for more than {MAXIMUM_ROWS:,} rows")
    combinations = list(itertools.product(*choices))
    rows = []
    for encoder, decoder, decoder_compression, encoder_compression in combinations:
        parts = f"{encoder}-{encoder_compression}--{decoder}-{decoder_compression}"
        name = re.sub(r"[^A-Za-z0-9._-]", "-", parts)
        if both["name"] is not None:
            name = both["name"] if len(combinations) == 1 else f"{both['name']}-{name}"
        if NAME.fullmatch(name) is None:
            raise UsageError(
                f"{name[:60]!r} cannot be the name of a bundle: give a name of at most 100 "
                "letters, digits and . _ -, a letter or digit first"
            )
        rows.append(
            Row(
                name=name,
                plan=plan.changed({"encoder": encoder, "decoder": decoder}),
                encoder_compression=encoder_compression,
                decoder_compression=decoder_compression,
                encoder_weights=_beside(folder, both["encoder_weights"]),
                checkpoint=_beside(folder, both["checkpoint"]),
                seed=_whole("seed", both["seed"], MAXIMUM_SEED),
                calibration_photos=_whole(
                    "calibration_photos", both["calibration_photos"], MAXIMUM_CALIBRATION_PHOTOS
                ),
            )
        )
    return rows


def _changes(entry: Entry, defaults: Entry) -> dict[str, str | bool | int | float]:
    changes = {**(defaults.plan or {}), **(entry.plan or {})}
    for name in CHOICES[:2]:
        if name in changes:
            raise UsageError(f"{name} stands beside plan, not in it")
    return changes


def _choice(name: str, value: Choice, plan: Plan) -> tuple[str, ...]:
    if value is None:
        if name not in CHOICES[:2]:
            raise UsageError(f"{name} is missing")
        return (getattr(plan, name),)
    choices = (value,) if isinstance(value, str) else value
    if not choices:
        raise UsageError(f"{name} is an empty list")
    return choices


def _beside(folder: Path, place: str | None) -> str | None:
    # numpy would come with it, for which a help text need not wait.
    from edgecap_converter.encoder_weights import RANDOM

    return place if place in (None, RANDOM) else str(folder / place)


def _whole(name: str, value: int | None, highest: int) -> int | None:
    if value is not None and not 0 <= value <= highest:
        raise UsageError(f"{name} is {str(value)[:20]}: give 0 to {highest}")
    return value
