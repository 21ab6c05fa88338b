"""Try what strangers' files and bad luck do to edgecap, and say what came of it.

    python benchmarks/check_robustness.py [--only NAME] [--share SHARE] [--write]

Needs the extra `fuzz` and, for `killed`, the extra `convert`: what cannot run is a missed number.
SHARE makes everything smaller, to see that it works. Exit status 1 if a number is missed. Linux.

`--write` keeps each part's rows in `results/robustness.json` as soon as the part is done, and makes
`robustness.md` of all parts tried under the same conditions: an hour's run can be made in pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context  # an engine does not survive a fork
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FOLDERS = [str(ROOT / part) for part in (".", "runtime", "converter", "benchmarks", "tests")]
sys.path[:0] = FOLDERS

from edgecap_bench.conditions import Machine, machine  # noqa: E402
from edgecap_runtime import Captioner, default_bundle  # noqa: E402
from edgecap_runtime.interpreter import find_engine  # noqa: E402

RESULTS = HERE / "results" / "robustness.md"
KEPT = RESULTS.with_suffix(".json")
BUNDLES, GRAPHS, PHOTOS, CAPTIONS = 10_000, 1_000, 2_000, 100_000
FUZZED_BUNDLES, FUZZED_PHOTOS = 10_000, 100_000
KILLS = 20
THREADS, PROCESSES = 8, 4
MOST_SECONDS, MOST_MEGABYTES, MOST_GROWTH_MEGABYTES = 10, 400, 5


@dataclass(frozen=True)
class Row:
    """One number: what was tried, what came of it, what should, and whether it did."""

    what: str
    found: str
    goal: str
    reached: bool


def bundles(share: float) -> Iterator[Row]:
    """Mutated bundles, and what the engine alone makes of graphs with one bit flipped."""
    from hostile_bundles import check, engine_alone

    count = int(BUNDLES * share)
    found = check(seed=1, count=count)
    yield Row(
        f"{count:,} mutated bundles, folders and zip files",
        f"{found['refused']:,} refused, {found['same']:,} gave the same words",
        "each of them one of these",
        sum(found.values()) == count,
    )
    count = int(GRAPHS * share)
    alone = engine_alone(seed=1, count=count)
    yield Row(
        f"{count:,} graphs with one bit flipped, the bare engine",
        f"loaded {100 * alone['loaded'] / count:.0f} % without a word, crashed on "
        f"{alone['crashed']}",
        "none: this is what the hashes are for",
        True,
    )


def photos(share: float) -> Iterator[Row]:
    """Broken and hostile photos, captioned with the packaged bundle."""
    script = ROOT / "tests" / "hostile_photos.py"
    with tempfile.TemporaryDirectory(prefix="edgecap-photos-") as folder:
        run(script, "make", folder, int(PHOTOS * share))
        count = len(os.listdir(folder))  # noqa: PTH208
        found = json.loads(run(script, "check", folder))
    done = found["captioned"] + found["refused"] == count and not found["wrong"]
    yield Row(
        f"{count:,} broken and hostile photos",
        f"{found['captioned']:,} captioned, {found['refused']:,} refused; at most "
        f"{found['slowest_seconds']:.1f} s of the processor ({found['slowest']}) and "
        f"{found['peak_megabytes']:.0f} MB",
        f"no crash, no traceback, under {MOST_SECONDS} s and {MOST_MEGABYTES} MB",
        done
        and found["slowest_seconds"] < MOST_SECONDS
        and found["peak_megabytes"] < MOST_MEGABYTES,
    )


def fuzzing(share: float) -> Iterator[Row]:
    """Coverage-guided runs, by atheris."""
    script = ROOT / "tests" / "fuzzing" / "fuzz.py"
    for target, runs in (("bundle", FUZZED_BUNDLES), ("photo", FUZZED_PHOTOS)):
        runs = int(runs * share)
        said = run(script, target, "--runs", runs, merged=True)
        done = re.search(r"Done (\d+) runs", said)
        yield Row(
            f"{runs:,} runs of the {target} path, chosen by coverage (atheris)",
            f"{int(done[1]) if done else 0:,} runs without a crash, hang or traceback",
            "all",
            done is not None and int(done[1]) >= runs,
        )


def words(share: float) -> Iterator[Row]:
    """Threads and processes on one bundle, and many captions in a row."""
    from shapes import gallery

    pictures = [picture for _, picture in gallery()]
    captioner = Captioner.load(threads=1)
    expected = [captioner.caption(picture).text for picture in pictures]
    with ThreadPoolExecutor(THREADS) as pool:
        threads = list(pool.map(lambda p: captioner.caption(p).text, pictures * 4))
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        processes = list(pool.map(_captions, range(PROCESSES)))
    same = threads == expected * 4 and processes == [expected] * PROCESSES
    yield Row(
        f"{THREADS} threads and {PROCESSES} processes on one bundle",
        "the same words" if same else "other words",
        "the same words",
        same,
    )
    count = int(CAPTIONS * share)
    for number in range(count // 10):
        captioner.caption(pictures[number % len(pictures)])
    before = resident_megabytes()
    for number in range(count - count // 10):
        captioner.caption(pictures[number % len(pictures)])
    growth = resident_megabytes() - before
    yield Row(
        f"{count:,} captions in a row",
        f"{before:.1f} MB after a tenth of them, {growth:+.1f} MB at the end",
        f"at most {MOST_GROWTH_MEGABYTES:+} MB",
        growth <= MOST_GROWTH_MEGABYTES,
    )


def killed(share: float) -> Iterator[Row]:
    """A conversion that is killed at random moments and started again, against another."""
    from interrupted_conversion import compare

    kills = max(1, int(KILLS * share))
    with tempfile.TemporaryDirectory(prefix="edgecap-killed-") as folder:
        done, same, left = compare(Path(folder), kills)
    yield Row(
        f"`convert` killed (SIGKILL) {done} times and started again",
        f"{'the same hashes' if same else 'other hashes'} as undisturbed, {left} files left over",
        "the same, none",
        same and not left and done == kills,
    )


PARTS: dict[str, Callable[[float], Iterator[Row]]] = {
    part.__name__: part for part in (bundles, photos, fuzzing, words, killed)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    arguments = parser.parse_args()
    if arguments.write and arguments.share != 1:
        parser.error("--write is for the whole: leave --share out")
    conditions = as_text(machine())
    tried = kept(conditions) if arguments.write else {}
    names = [arguments.only] if arguments.only else list(PARTS)
    for name in names:
        tried[name] = list(attempt(name, arguments.share))
        if arguments.write:
            value = {part: [asdict(row) for row in rows] for part, rows in tried.items()}
            text = json.dumps({"conditions": conditions, "parts": value}, indent=1)
            KEPT.write_text(f"{text}\n", encoding="utf-8")
    rows = [row for name in PARTS for row in tried.get(name, ())]
    page = "\n".join(as_markdown(conditions, rows))
    print(page)
    if arguments.write:
        RESULTS.write_text(f"{page}\n", encoding="utf-8")
    return 0 if all(row.reached for name in names for row in tried[name]) else 1


def attempt(name: str, share: float) -> Iterator[Row]:
    """The rows of a part; one that says why if it fails."""
    try:
        for row in PARTS[name](share):
            print(f"{row.what}: {row.found}", file=sys.stderr, flush=True)
            yield row
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        yield Row(name, f"could not be tried ({reason})", "", False)


def kept(conditions: str) -> dict[str, list[Row]]:
    """What earlier runs under these conditions kept, by part."""
    if not KEPT.exists():
        return {}
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    if found["conditions"] != conditions:
        return {}
    return {part: [Row(**row) for row in rows] for part, rows in found["parts"].items()}


def run(script: Path, *arguments: object, merged: bool = False) -> str:
    """What a script prints, with its complaints if `merged`; it must end well."""
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script.name} ended with {done.returncode}: {_end(done)}")
    return done.stdout


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr or done.stdout)[-200:]


def _captions(_process: int) -> list[str]:
    from shapes import gallery

    captioner = Captioner.load(threads=1)
    return [captioner.caption(picture).text for _, picture in gallery()]


def resident_megabytes() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def as_text(found: Machine) -> str:
    """Under which conditions: the lines of the page."""
    engine = find_engine()
    return (
        f"{found.cpu} ({found.architecture}), {found.cores} cores; {found.system};\n"
        f"Python {found.python}, edgecap {found.edgecap}, numpy {found.numpy},\n"
        f"Pillow {found.pillow}, {engine.distribution} {engine.version}."
    )


def as_markdown(conditions: str, rows: list[Row]) -> Iterator[str]:
    yield "# What strangers' files and bad luck do"
    yield ""
    yield f"Bundle `{default_bundle().name}` where no other is named; tried by"
    yield "`benchmarks/check_robustness.py`."
    yield conditions
    yield ""
    yield "| what | came of it | goal | reached |"
    yield "| --- | --- | --- | --- |"
    for row in rows:
        reached = "yes" if row.reached else "**no**"
        yield f"| {row.what} | {row.found} | {row.goal} | {reached} |"


if __name__ == "__main__":
    sys.exit(main())
