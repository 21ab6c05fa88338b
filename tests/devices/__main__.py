"""Installs and runs edgecap for every target, and compares the words with x86's.

    python tests/devices [--photos N] [--python PYTHON]... [--only TARGET] [--write]

Needs an x86-64 Linux with apt, dpkg and Debian's keyring, a network, and photos: those of
EDGECAP_PHOTOS and then of EDGECAP_FLICKR8K. What Debian gives is kept in EDGECAP_DEVICES, by
default ~/.cache/edgecap-devices. Exit status 1 if something does not hold.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(folder) for folder in (HERE, HERE.parent, ROOT, ROOT / "runtime")]

import photos  # noqa: E402
import platforms  # noqa: E402
from lean_install import Broken  # noqa: E402
from markdown import Found, page  # noqa: E402
from workshop import Kernels, Outcome, Resolved, Unsupported, Workshop  # noqa: E402

from edgecap.errors import EdgecapError  # noqa: E402

# One module a target; each has `check`.
TARGETS = (
    "x86_64",
    "engines",
    "bookworm_aarch64",
    "trixie_aarch64",
    "bookworm_armv7l",
    "no_engine",
    "macos_arm64",
    "windows_x64",
)
RESULTS = ROOT / "benchmarks" / "results" / "devices.md"


def main() -> int:
    arguments = parse()
    found: list[Found] = []
    try:
        chosen = photos.find(arguments.photos)
        with tempfile.TemporaryDirectory(prefix="edgecap-devices-") as scratch:
            workshop = Workshop(Path(scratch), arguments.python or [sys.executable], chosen)
            platforms.check_markers(workshop.builder)
            for name in arguments.only or TARGETS:
                for one in importlib.import_module(name).check(workshop):
                    found.append(one)
                    print(line(one), flush=True)
    except (Broken, EdgecapError) as error:
        expected = "expected " if isinstance(error, Broken) else ""
        print(f"devices: {expected}{error}", file=sys.stderr)
        return 1
    if arguments.write:
        RESULTS.write_text("\n".join(page(found)) + "\n", encoding="utf-8")
    print(summary(found, len(chosen)))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--photos", type=int, default=40, help="how many (default: %(default)s)")
    add("--python", action="append", help="of x86; give it once for each (default: this one)")
    add("--only", action="append", choices=TARGETS, help="one target; may be given again")
    add("--write", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write is for all targets")
    return arguments


def line(one: Found) -> str:
    """One finding."""
    if isinstance(one, Resolved):
        return f"{one.target}: resolves with {one.engine} for Python {', '.join(one.distributions)}"
    if isinstance(one, Unsupported):
        return f"{one.target}: {one.said}"
    if isinstance(one, Kernels):
        return f"LiteRT's own kernels: the encoder takes {one.slower:.1f} times as long"
    parted = "".join(
        f"\n  {it.photo}: {it.caption!r}, not {it.reference!r}: a near tie, {it.moved:.3f} of the "
        f"{one.comparison.moved:.3f} that rounding moves others"
        for it in one.comparison.parted
    )
    return (
        f"{one.target} ({one.checked}): {one.census['megabytes']:.1f} MB, "
        f"{one.comparison.equal} of {one.comparison.photos} captions and "
        f"{one.comparison.exact} encodings equal to {one.against}{parted}"
    )


def summary(found: list[Found], count: int) -> str:
    """The last line: targets, photos, equal captions."""
    ran = [one for one in found if isinstance(one, Outcome)]
    equal = sum(one.comparison.equal for one in ran)
    ties = sum(len(one.comparison.parted) for one in ran)
    resolved = sum(isinstance(one, Resolved) for one in found)
    nothing = sum(isinstance(one, Unsupported) for one in found)
    return (
        f"devices: {len({one.target for one in ran})} targets ran, {resolved} resolved, {nothing} "
        f"without an engine; {count} photos, {equal} of {equal + ties} captions equal, "
        f"{ties} parted at near ties"
    )


if __name__ == "__main__":
    sys.exit(main())
