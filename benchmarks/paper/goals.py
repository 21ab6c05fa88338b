"""The numbers that the rebuilt paper and edgecap have to reach, held against the record."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgecap.manifest import DECODER
from paper.record import Difference, Halves, Measured, Record

BASELINE, DEFAULT = "seed-keras", "flickr8k"
"""Names of the paper's own pipeline and of the packaged bundle."""

LEAST_TIMES_SMALLER, LEAST_TIMES_FASTER, LEAST_TIMES_LESS_MEMORY = 60, 100, 10
MOST_CIDER_LOST = 1.0
MOST_OF_DENSE_DECODER = 1 / 3
MOST_CIDER_LOST_BY_PRUNING = 3.0
MOST_GRID_MINUTES = 90

_FLOAT, _INT8 = ("none", "none"), ("quantize", "quantize")
_PRUNED = "prune:80+quantize"


@dataclass(frozen=True)
class Goal:
    """One number: what it should be, what it is, and whether that is enough.

    Attributes:
        measured: in words; None if it was not measured.
    """

    what: str
    target: str
    measured: str | None
    reached: bool


def goals(record: Record) -> list[Goal]:
    """All of them, in the order in which they were set."""
    return [
        *_int8_against_float(record, "vgg16", "VGG16", (74, 73, 65)),
        *_int8_against_float(record, "resnet50_conv4", "ResNet50 to conv4", (73.1, 71.3, None)),
        *_quality_kept(record),
        *_against_the_paper(record),
        *_pruned_decoder(record),
        _grid(record),
    ]


def _size(system: Measured) -> float:
    return system.sizes.folder_bytes


def _time(system: Measured) -> float:
    return system.stages_ms["total"].median


def _memory(system: Measured) -> float:
    return system.peak_memory_bytes


_MEASURES: tuple[tuple[str, Callable[[Measured], float]], ...] = (
    ("size", _size),
    ("time a photo, encoder and 12 words", _time),
    ("peak memory", _memory),
)


def _int8_against_float(
    record: Record, encoder: str, label: str, targets: tuple[float | None, ...]
) -> Iterator[Goal]:
    before = _timed(record, Halves(encoder, _FLOAT[0], "merge", _FLOAT[1]))
    after = _timed(record, Halves(encoder, _INT8[0], "merge", _INT8[1]))
    if before is not None and before.random_weights:
        label += ", random weights"
    for (name, value), target in zip(_MEASURES, targets, strict=True):
        if target is None:
            continue
        what = f"{label}, merge decoder, int8 against float32: {name}"
        wanted = f"at least -{target:g} %"
        if before is None or after is None:
            yield Goal(what, wanted, None, False)
        else:
            change = 100 * (value(after) / value(before) - 1)
            yield Goal(what, wanted, f"{change:+.1f} %", change <= -target)


def _quality_kept(record: Record) -> Iterator[Goal]:
    what = "the same, quality on dev: CIDEr of int8 less that of float32"
    target = f"95 % interval reaches 0, loss at most {MOST_CIDER_LOST:g} point"
    found = _difference(record, "resnet50_conv4", _FLOAT, _INT8)
    if found is None:
        yield Goal(what, target, None, False)
        return
    reached = found.high >= 0 and found.points >= -MOST_CIDER_LOST
    yield Goal(what, target, show_difference(found), reached)


def _against_the_paper(record: Record) -> Iterator[Goal]:
    theirs, ours = (_named(record, name) for name in (BASELINE, DEFAULT))
    targets = (
        ("smaller", LEAST_TIMES_SMALLER),
        ("faster", LEAST_TIMES_FASTER),
        ("less", LEAST_TIMES_LESS_MEMORY),
    )
    for (name, value), (how, target) in zip(_MEASURES, targets, strict=True):
        what = f"the packaged bundle against the paper's baseline pipeline: {name}"
        wanted = f"at least {target} times {how}"
        if theirs is None or ours is None:
            yield Goal(what, wanted, None, False)
        else:
            times = value(theirs) / value(ours)
            yield Goal(what, wanted, f"{times:.1f} times {how}", times >= target)


def _pruned_decoder(record: Record) -> Iterator[Goal]:
    size = "decoder `prune:80+quantize` against `quantize`, both deflated"
    size_target = "a third or less"
    quality = "the same, CIDEr on dev"
    quality_target = f"at most {MOST_CIDER_LOST_BY_PRUNING:g} % less"
    for pruned in _all_timed(record):
        halves = pruned.halves
        if halves.decoder_compression == _PRUNED and not pruned.random_weights:
            names = (halves.encoder, halves.encoder_compression, halves.decoder)
            dense = _timed(record, Halves(*names, "quantize"))
            if dense is None:
                continue
            share = _deflated_decoder(pruned) / _deflated_decoder(dense)
            shown = f"{share:.3f} of it ({halves.encoder}, {halves.decoder})"
            yield Goal(size, size_target, shown, share <= MOST_OF_DENSE_DECODER)
            before, after = (_cider(record, one.name) for one in (dense, pruned))
            if before is None or after is None:
                yield Goal(quality, quality_target, None, False)
            else:
                change = 100 * (after / before - 1)
                shown = f"{change:+.1f} %: {before:.2f} to {after:.2f}"
                yield Goal(quality, quality_target, shown, change >= -MOST_CIDER_LOST_BY_PRUNING)
            return
    yield Goal(size, size_target, None, False)
    yield Goal(quality, quality_target, None, False)


def _grid(record: Record) -> Goal:
    what = "the paper's grid for one small encoder with cached features, 2 cores"
    target = f"at most {MOST_GRID_MINUTES} minutes"
    minutes = record.grid_minutes
    if minutes is None:
        return Goal(what, target, None, False)
    return Goal(
        what,
        target,
        f"{minutes:.0f} minutes (given, not measured by this run)",
        minutes <= MOST_GRID_MINUTES,
    )


def show_difference(found: Difference) -> str:
    """As it stands in tables."""
    return f"{found.points:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def _deflated_decoder(system: Measured) -> int:
    return system.sizes.members[DECODER].deflated_bytes


def _all_timed(record: Record) -> list[Measured]:
    systems = record.timing.systems if record.timing else ()
    return [one for one in systems if isinstance(one, Measured)]


def _timed(record: Record, halves: Halves) -> Measured | None:
    return next((one for one in _all_timed(record) if one.halves == halves), None)


def _named(record: Record, name: str) -> Measured | None:
    return next((one for one in _all_timed(record) if one.name == name), None)


def _cider(record: Record, name: str) -> float | None:
    bundles = record.quality.bundles if record.quality else ()
    return next((one.scores.coco["cider"] for one in bundles if one.name == name), None)


def _difference(
    record: Record, encoder: str, first: tuple[str, str], second: tuple[str, str]
) -> Difference | None:
    """Of the merge decoder on an encoder, from one pair of compressions to another."""
    if record.quality is None:
        return None
    names = {
        (one.halves.encoder_compression, one.halves.decoder_compression): one.name
        for one in record.quality.bundles
        if (one.halves.encoder, one.halves.decoder) == (encoder, "merge")
    }
    wanted = (names.get(first), names.get(second))
    found = (one for one in record.quality.differences if (one.first, one.second) == wanted)
    return next(found, None)
