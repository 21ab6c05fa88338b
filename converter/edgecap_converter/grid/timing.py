"""How long a caption takes with each bundle of a grid, all measured in one run.

The only module of the converter that measures time, with what `edgecap bench` measures it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgecap.errors import EdgecapError
from edgecap_bench.conditions import machine, setup
from edgecap_bench.latency import WORD, Latency, different_words, measure
from edgecap_bench.picture import drawn_jpeg
from edgecap_converter.grid.result import Conditions, Failed, Times
from edgecap_converter.progress import progress
from edgecap_runtime import Captioner
from edgecap_runtime.startup import without_engine_notes

# All bundles in turns, again and again: what slows the machine down for a while slows all. A bundle
# is loaded for its turn only, since those of a large encoder would not fit into memory together.
ROUNDS, RUNS, WARM_UP = 5, 5, 2


def time_bundles(bundles: Sequence[Path]) -> tuple[Conditions | None, list[Times | Failed]]:
    """Medians over `ROUNDS` turns of each bundle, on a drawn photo.

    Returns:
        The conditions, None if no bundle could be run; for each bundle its times, or why there are
        none: it then took no more turns.
    """
    before, photo = machine(), drawn_jpeg()
    turns: list[list[Latency]] = [[] for _ in bundles]
    failures: dict[int, Failed] = {}
    conditions = None
    with progress("timing", ROUNDS * len(bundles), "turn") as advance:
        for _ in range(ROUNDS):
            for index, bundle in enumerate(bundles):
                advance(1, bundle.name)
                if index in failures:
                    continue
                try:
                    with without_engine_notes():
                        captioner = Captioner.load(bundle)
                    turns[index].append(_turn(captioner, photo, turns[index]))
                except EdgecapError as error:
                    failures[index] = Failed(" ".join(str(error).split()))
                    continue
                ran = setup(captioner)
                conditions = Conditions(
                    asdict(before), f"{ran.engine} {ran.engine_version}", ran.threads,
                    ROUNDS, RUNS, WARM_UP,
                )  # fmt: skip
    return conditions, [failures.get(i) or _medians(taken) for i, taken in enumerate(turns)]


def _turn(captioner: Captioner, photo: bytes, earlier: Sequence[Latency]) -> Latency:
    latency = measure(captioner, photo, RUNS, WARM_UP)
    if earlier and latency.caption != earlier[0].caption:
        raise different_words(earlier[0].caption, latency.caption)
    return latency


def _medians(turns: Sequence[Latency]) -> Times:
    stages = ("decode", "resize", "encoder", WORD)
    return Times(
        *(
            round(statistics.median(statistics.median(one.times_ms[s]) for one in turns), 4)
            for s in stages
        )
    )
