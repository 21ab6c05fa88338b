"""Make every peer and its environment, time all against edgecap, and write the page.

    python -m peers [STEP...] --data DIR [--work DIR] [--output DIR] [--only NAME...]

Without a STEP all of them, one after the other: `make`, `time`, `page`. What `time` needs and is
not there is made first. Give `time` an idle machine. The paper's pipeline needs the extra
`convert`.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecap.datasets import CaptionedPhoto, select
from edgecap.errors import EdgecapError, UsageError
from edgecap_converter.progress import say
from edgecap_converter.storage import whole_file
from edgecap_runtime.captioner import available_threads
from edgecap_runtime.options import DEFAULT_THREADS
from paper.__main__ import CORPUS, RESULTS, corpus
from paper.record import Failed, read_as, write
from paper.timing import Plan
from peers import environments, timing
from peers.page import as_markdown
from peers.record import Record
from peers.systems import Peer, System, peers

STEPS = ("make", "time", "page")
SPLIT = "dev"


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
    parser = argparse.ArgumentParser(prog="python -m peers", description=__doc__.splitlines()[0])
    steps = f"{', '.join(STEPS)} (default: all)"
    parser.add_argument("steps", nargs="*", metavar="STEP", help=steps)
    add = parser.add_argument
    add("--data", metavar="DIR", help=f"Flickr8k (default: what {CORPUS} names)")
    add("--work", type=Path, default=Path("edgecap-work/peers"), metavar="DIR",
        help="keeps environments and models, 6 GB (default: %(default)s)")  # fmt: skip
    add("--output", type=Path, default=RESULTS, metavar="DIR",
        help="for peers.json and peers.md (default: %(default)s)")  # fmt: skip
    add("--python", metavar="PATH",
        help=f"a Python {environments.PYTHON} (default: this, or the path's)")  # fmt: skip
    add("--only", action="append", metavar="NAME", help="only this system; may be repeated")
    add("--photos", type=int, default=20, metavar="N", help="a round (default: %(default)s)")
    add("--rounds", type=int, default=5, metavar="N", help="(default: %(default)s)")
    add("--warm-up", type=int, default=3, metavar="N",
        help="photos after the first caption (default: %(default)s)")  # fmt: skip
    add("--threads", type=int, default=min(available_threads(), DEFAULT_THREADS), metavar="N",
        help="of every engine (default: all cores, at most 4)")  # fmt: skip
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
    place = options.output / "peers.json"
    found = read_as(place, Record())
    failures: list[Failed] = []
    if {"make", "time"} & set(steps):
        _, photos = corpus(options.data)
        python = environments.find_python(options.python)
        chosen = wanted(peers(photos, options.work, python), options.only)
        systems, failures = made(chosen, options.work, python)
        if "time" in steps:
            plan = Plan(options.threads, options.rounds, options.warm_up)
            timed = timing.measure(systems, spread(photos, options.photos), plan)
            timed = dataclasses.replace(timed, systems=(*timed.systems, *failures))
            failures = [one for one in timed.systems if isinstance(one, Failed)]
            found = dataclasses.replace(found, timing=timed)
            write(place, found)
    if "page" in steps:
        with whole_file(options.output / "peers.md") as file:
            file.write("".join(f"{line}\n" for line in as_markdown(found)).encode())
        say(f"written: {options.output / 'peers.md'}")
    for one in failures:
        say(f"edgecap: {one.name}: {one.error}")
    return 1 if failures else 0


def wanted(every: Sequence[Peer], only: Sequence[str] | None) -> list[Peer]:
    """Those named, or all.

    Raises:
        UsageError: if a name is none of theirs.
    """
    names = [one.name for one in every]
    for name in only or ():
        if name not in names:
            raise UsageError(f"--only {name}: expected one of {', '.join(names)}")
    return [one for one in every if only is None or one.name in only]


def made(chosen: Sequence[Peer], work: Path, python: str) -> tuple[list[System], list[Failed]]:
    """The systems that are there, made where they were missing; and what failed."""
    systems, failures = [], []
    for peer in chosen:
        try:
            environment = environments.make(peer.environment, work, python)
            systems.append(System(peer, environment, peer.make()))
        except EdgecapError as error:
            failures.append(Failed(peer.name, peer.title, str(error)))
    return systems, failures


def spread(photos: Sequence[CaptionedPhoto], count: int) -> list[Path]:
    """So many photos, spread over the split, whose names are sorted."""
    dev = select(photos, SPLIT)
    step = max(1, len(dev) // count)
    return [photo.path.resolve() for photo in dev[::step][:count]]


if __name__ == "__main__":
    sys.exit(main())
