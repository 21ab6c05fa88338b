"""Rebuild the paper's systems, time them against edgecap, score both, and write the page.

    python -m paper [STEP...] --data DIR [--work DIR] [--output DIR] [--bundle PATH...]

Without a STEP all of them, one after the other: `time`, `quality`, `page`. What a step needs and
has not is made first and kept in --work; `time` runs as a whole, so give it an idle machine. Needs
the extras `convert` and `bench`.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecap.datasets import CaptionedPhoto, load_dataset, select
from edgecap.errors import EdgecapError, UsageError
from edgecap_converter.frameworks import require_extra
from edgecap_converter.progress import say
from edgecap_converter.storage import whole_file
from edgecap_runtime import default_bundle
from edgecap_runtime.captioner import available_threads
from edgecap_runtime.options import DEFAULT_THREADS
from paper import bundles, quality, record, systems, their_files, timing
from paper.page import as_markdown
from paper.record import Failed
from paper.systems import System
from paper.their_networks import SIDE

STEPS = ("time", "quality", "page")
CORPUS = "EDGECAP_FLICKR8K"
RESULTS = Path(__file__).resolve().parent.parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return run(options)
    except EdgecapError as error:
        say(f"edgecap: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("stopped; the same command goes on")
        return 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m paper", description=__doc__.splitlines()[0])
    steps = f"{', '.join(STEPS)} (default: all)"
    parser.add_argument("steps", nargs="*", metavar="STEP", help=steps)
    add = parser.add_argument
    add("--data", metavar="DIR", help=f"Flickr8k (default: what {CORPUS} names)")
    add("--work", type=Path, default=Path("edgecap-work/paper"), metavar="DIR",
        help="keeps what is slow to make, 10 GB (default: %(default)s)")  # fmt: skip
    add("--output", type=Path, default=RESULTS, metavar="DIR",
        help="for paper.json and paper.md (default: %(default)s)")  # fmt: skip
    add("--bundle", type=Path, action="append", default=[], metavar="PATH",
        help="a trained bundle to time and score too, instead of making one with the same halves; "
        "may be repeated")  # fmt: skip
    add("--only", action="append", metavar="NAME", help="only this system; may be repeated")
    add("--photos", type=int, default=20, metavar="N", help="a round (default: %(default)s)")
    add("--rounds", type=int, default=5, metavar="N", help="(default: %(default)s)")
    add("--warm-up", type=int, default=3, metavar="N", help="photos (default: %(default)s)")
    add("--threads", type=int, default=min(available_threads(), DEFAULT_THREADS), metavar="N",
        help="of every engine (default: all cores, at most 4)")  # fmt: skip
    add("--grid-minutes", type=float, metavar="N",
        help="what `edgecap convert --grid` took for the paper's grid")  # fmt: skip
    options = parser.parse_args(arguments)
    for step in options.steps:
        if step not in STEPS:
            parser.error(f"no step {step!r}: choose from {steps}")
    if not (options.rounds >= 1 and options.threads >= 1 and options.warm_up >= 0):
        parser.error("--rounds and --threads must be 1 or more, --warm-up 0 or more")
    if options.photos < max(1, options.warm_up):
        parser.error("--photos must be 1 or more, and no less than --warm-up")
    return options


def run(options: argparse.Namespace) -> int:
    """The steps; 1 if a system failed, and 0 if not."""
    steps = options.steps or STEPS
    place = options.output / "paper.json"
    found = record.read(place)
    failures: list[Failed] = []
    if options.grid_minutes is not None:
        found = dataclasses.replace(found, grid_minutes=options.grid_minutes)
        record.write(place, found)
    if {"time", "quality"} & set(steps):
        require_extra()
        data, photos = corpus(options.data)
        ours, failures = our_systems(options, data, photos)
        if "time" in steps:
            theirs, not_made = their_systems(options, photos)
            timed = time(options, photos, [*theirs, *ours], [*not_made, *failures])
            failures = [one for one in timed.systems if isinstance(one, Failed)]
            found = dataclasses.replace(found, timing=timed)
            record.write(place, found)
        if "quality" in steps:
            trained = [one for one in ours if not one.random_weights]
            dev = select(photos, quality.SPLIT)
            scored = quality.measure(data.name, dev, trained, options.work)
            found = dataclasses.replace(found, quality=scored)
            record.write(place, found)
    if "page" in steps:
        with whole_file(options.output / "paper.md") as file:
            file.write("".join(f"{line}\n" for line in as_markdown(found)).encode())
        say(f"written: {options.output / 'paper.md'}")
    for one in failures:
        say(f"edgecap: {one.name}: {one.error}")
    return 1 if failures else 0


def corpus(named: str | None) -> tuple[Path, tuple[CaptionedPhoto, ...]]:
    folder = named or os.environ.get(CORPUS)
    if folder is None:
        raise UsageError(f"no corpus: give --data DIR or set {CORPUS}")
    return Path(folder), load_dataset(folder)


def our_systems(
    options: argparse.Namespace, data: Path, photos: Sequence[CaptionedPhoto]
) -> tuple[list[System], list[Failed]]:
    """The packaged bundle, those that were given, those that were made; and what failed."""
    found = [systems.of_bundle(path, False) for path in (default_bundle(), *options.bundle)]
    failures = []
    for wanted in bundles.WANTED:
        if is_wanted(options, wanted.name) and not any(map(wanted.is_like, found)):
            try:
                path = bundles.make(wanted, data, photos, options.work)
                found.append(systems.of_bundle(path, wanted.random_weights))
            except EdgecapError as error:
                title = f"edgecap, {wanted.encoder} and merge, one step a word"
                failures.append(Failed(wanted.name, title, str(error)))
    names = [one.name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two bundles are named {min(twice)}: rename one")
    kept = [one for one in found if is_wanted(options, one.name)]
    return systems.with_references(kept), failures


def their_systems(
    options: argparse.Namespace, photos: Sequence[CaptionedPhoto]
) -> tuple[list[System], list[Failed]]:
    """The paper's pipelines whose files could be made, and the others."""
    folder = their_files.prepare(select(photos, "train"), options.work, SIDE)
    made, failures = [], []
    for one in systems.theirs(folder):
        if is_wanted(options, one.name):
            reasons = their_files.make(folder, [path.name for path in one.files], SIDE)
            failures += [Failed(one.name, one.title, why) for why in list(reasons.values())[:1]]
            made += [] if reasons else [one]
    return made, failures


def time(
    options: argparse.Namespace,
    photos: Sequence[CaptionedPhoto],
    chosen: Sequence[System],
    not_made: Sequence[Failed],
) -> record.Timing:
    dev = select(photos, quality.SPLIT)
    # Spread over the split, whose names are sorted.
    step = max(1, len(dev) // options.photos)
    paths = [photo.path.resolve() for photo in dev[::step][: options.photos]]
    plan = timing.Plan(options.threads, options.rounds, options.warm_up)
    timed = timing.measure(chosen, paths, plan)
    return dataclasses.replace(timed, systems=(*timed.systems, *not_made))


def is_wanted(options: argparse.Namespace, name: str) -> bool:
    return options.only is None or name in options.only


if __name__ == "__main__":
    sys.exit(main())
