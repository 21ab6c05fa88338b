"""The numbers that edgecap has to reach beside its peers, held against the record."""

from collections.abc import Callable, Iterator

from paper.goals import Goal
from peers.architectures import VIT_GPT2
from peers.record import Measured, Record
from peers.systems import ONNX_INT8, OURS

LEAST_TIMES_FASTER_THAN_ONNX = 1.5
LEAST_TIMES_FASTER, LEAST_TIMES_SMALLER, LEAST_TIMES_LESS_MEMORY = 50, 50, 10


def goals(record: Record) -> list[Goal]:
    """All of them, in the order in which they were set."""
    return [_against_onnx(record), *_against_vit_gpt2(record)]


def _against_onnx(record: Record) -> Goal:
    what = "the packaged bundle against the same graphs on ONNX Runtime, int8: time a photo"
    return _times(record, ONNX_INT8, _time, what, "faster", LEAST_TIMES_FASTER_THAN_ONNX)


def _against_vit_gpt2(record: Record) -> Iterator[Goal]:
    measures: tuple[tuple[str, str, float, Callable[[Measured], float]], ...] = (
        ("time a photo", "faster", LEAST_TIMES_FASTER, _time),
        ("model files", "smaller", LEAST_TIMES_SMALLER, lambda one: one.sizes.folder_bytes),
        ("peak memory", "less", LEAST_TIMES_LESS_MEMORY, lambda one: one.peak_memory_bytes),
    )
    for name, how, target, value in measures:
        what = f"the packaged bundle against ViT-GPT2 in PyTorch, random weights: {name}"
        yield _times(record, VIT_GPT2, value, what, how, target)


def _times(
    record: Record,
    name: str,
    value: Callable[[Measured], float],
    what: str,
    how: str,
    target: float,
) -> Goal:
    """How many times less than another system edgecap takes."""
    ours, theirs = find(record, OURS), find(record, name)
    wanted = f"at least {target:g} times {how}"
    if ours is None or theirs is None:
        return Goal(what, wanted, None, False)
    times = value(theirs) / value(ours)
    return Goal(what, wanted, f"{times:.2f} times {how}", times >= target)


def find(record: Record, name: str) -> Measured | None:
    """A system, if it was measured."""
    systems = record.timing.systems if record.timing else ()
    found = (one for one in systems if isinstance(one, Measured) and one.name == name)
    return next(found, None)


def _time(system: Measured) -> float:
    return system.photo_ms.median
