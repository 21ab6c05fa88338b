"""Measure every number that the default bundle has to reach, and say which ones it does.

    python benchmarks/check_targets.py [--data DIR] [--only NAME] [--bundle PATH] [--write]

Needs the extra `bench` and a network: it builds the wheel of this tree and installs it into a
fresh environment, where the command line is measured. DIR is Flickr8k, by default what
EDGECAP_FLICKR8K names. Exit status 1 if a number is missed or could not be measured. Run it on
a machine that does nothing else.
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
from edgecap_bench.conditions import QUIET_LOAD, Machine, machine  # noqa: E402
from edgecap_runtime.interpreter import find_engine  # noqa: E402
from targets import installation, overhead, quality  # noqa: E402
from targets.workbench import CORPUS, Result, Workbench  # noqa: E402

RESULTS = HERE / "results" / "targets.md"
LONGEST_REASON = 300


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
        installation.cold_start,
        timed=True,
    ),
)


def main() -> int:
    arguments = parse()
    chosen = [target for target in TARGETS if arguments.only in (None, target.name)]
    before = machine()
    with tempfile.TemporaryDirectory(prefix="edgecap-targets-") as scratch:
        workbench = Workbench(Path(scratch), arguments.bundle, arguments.data)
        results = {}
        # What is timed comes first: the machine has not been kept busy by us yet.
        for target in sorted(chosen, key=lambda target: not target.timed):
            print(f"measuring: {target.what}", file=sys.stderr, flush=True)
            results[target] = measure(target, workbench)
        lines = list(as_markdown(before, workbench, {one: results[one] for one in chosen}))
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
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    arguments = parser.parse_args()
    if arguments.write and (arguments.only or arguments.bundle):
        parser.error("--write is for all rows of the packaged bundle")
    return arguments


def measure(target: Target, workbench: Workbench) -> Result:
    """The target's result; what cannot be measured is missed."""
    try:
        return target.measure(workbench)
    except (EdgecapError, Broken, subprocess.CalledProcessError) as error:
        reason = " ".join(str(error).split())
        return Result(f"not measured: {reason[-LONGEST_REASON:]}", False)


def as_markdown(
    before: Machine, workbench: Workbench, results: dict[Target, Result]
) -> Iterator[str]:
    engine = find_engine()
    yield "# What the default bundle has to reach"
    yield ""
    yield f"Bundle `{workbench.bundle_path.name}`, measured by `benchmarks/check_targets.py`."
    yield f"{before.cpu} ({before.architecture}), {before.cores} cores; {before.system};"
    yield f"load average before the start: {before.load_average};"
    yield f"Python {before.python}, edgecap {before.edgecap}, numpy {before.numpy},"
    yield f"Pillow {before.pillow}, {engine.distribution} {engine.version}."
    if before.disturbed:
        yield ""
        yield (
            f"**Other load was found** (above {QUIET_LOAD:g}): both sides of a ratio took turns, "
            "but measure again on a quiet machine."
        )
    yield ""
    yield "| what | measured | target | reached |"
    yield "| --- | --- | --- | --- |"
    for target, result in results.items():
        reached = "yes" if result.reached else "**no**"
        yield f"| {target.what} | {result.measured} | {target.goal} | {reached} |"


if __name__ == "__main__":
    sys.exit(main())
