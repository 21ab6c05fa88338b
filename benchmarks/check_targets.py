"""Measure every number that the default bundle has to reach, and say which ones it does.

    python benchmarks/check_targets.py [--data DIR] [--only NAME] [--bundle PATH] [--many N]
        [--attempts N] [--write]

Needs the extra `bench` and a network: it builds the wheel of this tree and installs it into a
fresh environment, where the command line is measured. DIR is Flickr8k, by default what
EDGECAP_FLICKR8K names. Exit status 1 if a number is missed or could not be measured. Run it on
a machine that does nothing else: what was timed while other work ran is measured again, and says
so if that does not help.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / part) for part in (".", "runtime", "benchmarks", "tests")]

from lean_install import MAXIMUM_DISTRIBUTIONS, Broken  # noqa: E402

from edgecap.errors import EdgecapError  # noqa: E402
from edgecap_bench.conditions import QUIET_OTHERS, Conditions, Watch  # noqa: E402
from edgecap_bench.load import OtherLoad  # noqa: E402
from edgecap_runtime.interpreter import find_engine  # noqa: E402
from targets import bulk, installation, overhead, photos, quality  # noqa: E402
from targets.workbench import CORPUS, Result, Workbench  # noqa: E402

RESULTS = HERE / "results" / "targets.md"
LONGEST_REASON = 300
MANY, ATTEMPTS = 1_000, 3


@dataclass(frozen=True)
class Target:
    """One row: a name for --only, what is measured, what it should be, and how."""

    name: str
    what: str
    goal: str
    measure: Callable[[Workbench], Result]
    timed: bool = False


DEV = "1,000 dev photos, int8, greedy, the installed command"
TARGETS = (
    Target("bleu", f"BLEU-4, {DEV}", f"at least {quality.LEAST_BLEU_4}", quality.bleu_4),
    Target("cider", f"CIDEr, {DEV}", f"at least {quality.LEAST_CIDER:g}", quality.cider),
    Target(
        "beam",
        f"BLEU-4, the same with beam {quality.BEAM}",
        f"at least {quality.LEAST_BEAM_BLEU_4}",
        quality.beam_bleu_4,
    ),
    Target(
        "loss",
        "CIDEr points lost, float to int8",
        f"at most {quality.MOST_CIDER_LOST}",
        quality.cider_lost,
    ),
    Target("size", "all files", f"at most {installation.MOST_MEGABYTES:g} MB", installation.size),
    Target(
        "lean",
        "lean install: distributions besides edgecap, pip and setuptools",
        f"at most {MAXIMUM_DISTRIBUTIONS}, no TensorFlow, no Keras",
        installation.distributions,
    ),
    Target(
        "overhead",
        "`.caption` of a ready array, beyond the engine calls it makes",
        f"at most {100 * overhead.MOST_ADDED:g} % of them",
        overhead.overhead,
        timed=True,
    ),
    Target(
        "cold",
        "cold `edgecap caption photo.jpg` against the bare imports",
        f"at most {installation.MOST_TIMES_THE_IMPORTS} times",
        installation.against_the_imports,
        timed=True,
    ),
    Target(
        "script",
        "the same against a bare script with the same graphs and no checks",
        f"at most {installation.MOST_TIMES_A_SCRIPT} times",
        installation.against_a_script,
        timed=True,
    ),
    Target(
        "peak",
        "peak memory of `edgecap caption photo.jpg` against the bare imports",
        f"at most {installation.MOST_TIMES_THE_MEMORY} times",
        installation.peak_memory,
    ),
    Target(
        "megapixels",
        "decode and resize of a 12-megapixel JPEG, of the same by a full decode",
        f"at most {100 * photos.MOST_OF_A_FULL_DECODE:g} %, and the same words of our photos",
        photos.large_photo,
        timed=True,
    ),
    Target(
        "bulk",
        f"`caption_many` on {bulk.CORES} cores, of {bulk.CORES} times one thread's stages",
        f"at least {100 * bulk.LEAST_OF_TWICE_ONE_THREAD:g} %",
        bulk.rate,
        timed=True,
    ),
    Target(
        "growth",
        f"`edgecap caption` of {bulk.TIMES_AS_MANY} times as many photos: resident memory",
        f"at most {bulk.MOST_MORE_MEGABYTES:g} MB more, time linear within "
        f"{100 * bulk.MOST_LONGER:g} %",
        bulk.growth,
        timed=True,
    ),
)


def main() -> int:
    arguments = parse()
    chosen = [target for target in TARGETS if arguments.only in (None, target.name)]
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="edgecap-targets-") as scratch:
        workbench = Workbench(Path(scratch), arguments.bundle, arguments.data, arguments.many)
        results = {}
        # What is timed comes first: the machine has not been kept busy by us yet.
        for target in sorted(chosen, key=lambda target: not target.timed):
            print(f"measuring: {target.what}", file=sys.stderr, flush=True)
            results[target] = measure(target, workbench, arguments.attempts)
        lines = list(
            as_markdown(watch.conditions(), workbench, {one: results[one] for one in chosen})
        )
    print("\n".join(lines))
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if all(result.reached for result in results.values()) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", help=f"Flickr8k (default: what {CORPUS} names)")
    parser.add_argument("--only", choices=[target.name for target in TARGETS], help="one row")
    parser.add_argument("--bundle", metavar="PATH", help="default: the packaged one")
    parser.add_argument("--many", metavar="N", type=int, default=MANY, help=f"default: {MANY}")
    parser.add_argument(
        "--attempts", metavar="N", type=int, default=ATTEMPTS, help=f"default: {ATTEMPTS}"
    )
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    arguments = parser.parse_args()
    if arguments.write and (arguments.only or arguments.bundle or arguments.many != MANY):
        parser.error("--write is for all rows of the packaged bundle, in full")
    return arguments


def measure(target: Target, workbench: Workbench, attempts: int) -> Result:
    """The target's result; what cannot be measured is missed.

    What is timed while others work is measured again, `attempts` times in all.
    """
    try:
        for _ in range(attempts if target.timed else 1):
            others = OtherLoad()
            result = target.measure(workbench)
            taken = others.cores() or 0.0
            if taken <= QUIET_OTHERS or not target.timed:
                return result
    except (EdgecapError, Broken, subprocess.CalledProcessError) as error:
        reason = " ".join(str(error).split())
        return Result(f"not measured: {reason[-LONGEST_REASON:]}", False)
    disturbed = f"**disturbed**: other work took {taken:.2f} cores"
    return Result(f"{result.measured}; {disturbed}", result.reached)


def as_markdown(
    conditions: Conditions, workbench: Workbench, results: dict[Target, Result]
) -> Iterator[str]:
    engine, before = find_engine(), conditions.machine
    yield "# What the default bundle has to reach"
    yield ""
    yield f"Bundle `{workbench.bundle_path.name}`, measured by `benchmarks/check_targets.py`."
    yield f"{before.cpu} ({before.architecture}), {before.cores} cores; {before.system};"
    yield f"load average before the start: {before.load_average};"
    yield f"Python {before.python}, edgecap {before.edgecap}, numpy {before.numpy},"
    yield f"Pillow {before.pillow}, {engine.distribution} {engine.version};"
    yield f"commit {conditions.commit}."
    for warning in conditions.warnings:
        yield ""
        yield f"**In all: {warning}.** Both sides of a ratio took turns."
    yield ""
    yield "| what | measured | target | reached |"
    yield "| --- | --- | --- | --- |"
    for target, result in results.items():
        reached = "yes" if result.reached else "**no**"
        yield f"| {target.what} | {result.measured} | {target.goal} | {reached} |"


if __name__ == "__main__":
    sys.exit(main())
