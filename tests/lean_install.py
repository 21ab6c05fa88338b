"""Installs the built wheel where nothing else is, and holds it to what the README promises.

python tests/lean_install.py [PYTHON...]

Every PYTHON (by default the one that runs this) gets a fresh environment outside the source
tree, without extras and so without TensorFlow. The first broken promise ends it with status 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MAXIMUM_DISTRIBUTIONS = 10
# The smallest installation, as the README has it; its engine has no wheels for later Pythons.
SMALLEST = ("tflite-runtime", "numpy<2", "pillow>=12.2", "click")
SMALLEST_NEWEST_PYTHON = [3, 11]
# What would let an environment see more than is installed in it.
SURROUNDINGS = ("PYTHON", "EDGECAP_", "VIRTUAL_ENV")

# Run by an environment's own Python: what it holds, pip and setuptools aside.
CENSUS = """
import importlib.metadata, importlib.util, json, pathlib, sys, sysconfig
import edgecap, edgecap_runtime

here = pathlib.Path(sysconfig.get_path("purelib"))
installed = [d for d in importlib.metadata.distributions()
             if d.metadata["Name"] not in ("pip", "setuptools")]
files = {here / f for d in installed for f in d.files or () if f.suffix != ".pyc"}
names = ("tensorflow", "keras", "tf_keras", "tflite_runtime", "ai_edge_litert")
print(json.dumps({
    "python": sys.version_info[:3],
    "distributions": sorted(d.metadata["Name"] for d in installed),
    "importable": [n for n in names if importlib.util.find_spec(n)],
    "in_place": all(here in pathlib.Path(m.__file__).parents for m in (edgecap, edgecap_runtime)),
    # Debian's packages do not say which files are theirs.
    "complete": all(d.files is not None for d in installed),
    "megabytes": sum(f.stat().st_size for f in files) / 1e6,
    "bundle_megabytes": sum(f.stat().st_size for f in files if "bundles" in f.parts) / 1e6,
}))
"""

# Run by an environment's own Python: draws a corpus of three photos.
DRAW_CORPUS = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import shapes
shapes.write_corpus(pathlib.Path("corpus"), train=2, dev=1)
"""


class Broken(Exception):
    """A promise that does not hold."""


def require(holds: bool, promise: str, shown: object) -> None:
    """Raises Broken unless the promise holds."""
    if not holds:
        raise Broken(f"{promise}: {shown}")


class Environment:
    """A fresh virtual environment, used from an empty folder beside it."""

    def __init__(self, folder: Path, python: str) -> None:
        self.programs, self.empty = folder / "venv" / "bin", folder / "empty"
        self.empty.mkdir(parents=True)
        subprocess.run([python, "-m", "venv", folder / "venv"], check=True)

    def program(self, name: str | Path) -> list[str | Path]:
        """What starts a program that is installed here."""
        return [self.programs / name]

    def run(self, *command: str | Path, status: int = 0) -> str:
        """What a program prints on standard output. If it shall fail: its one line of error."""
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith(SURROUNDINGS)}
        done = subprocess.run(
            [*self.program(command[0]), *command[1:]],
            cwd=self.empty,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
        require(done.returncode == status, f"status {status}, not {done.returncode}", said)
        if status == 0:
            return done.stdout
        one_line = done.stderr.count("\n") == 1 and done.stderr.startswith("edgecap: ")
        require(one_line and not done.stdout, "one line of error and nothing else", said)
        return done.stderr

    def pip(self, *arguments: str | Path) -> None:
        """Runs pip; what it says is shown if it fails."""
        self.run("python", "-m", "pip", *arguments)

    def census(self) -> dict[str, Any]:
        """What is installed; edgecap itself must be."""
        census: dict[str, Any] = json.loads(self.run("python", "-c", CENSUS))
        require(census["in_place"], "edgecap is imported from its installation", census)
        return census


def main(pythons: Sequence[str]) -> int:
    """Checks the wheel with every Python; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="edgecap-lean-") as name:
        scratch = Path(name)
        try:
            builder = Environment(scratch / "builder", pythons[0])
            builder.pip("wheel", "--no-deps", "--wheel-dir", scratch, ROOT)
            (wheel,) = scratch.glob("edgecap-*.whl")
            print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
            for number, python in enumerate(pythons):
                version = check_lean(Environment(scratch / f"lean-{number}", python), wheel)
                if version <= SMALLEST_NEWEST_PYTHON:
                    check_smallest(Environment(scratch / f"smallest-{number}", python), wheel)
        except Broken as broken:
            print(f"lean install: expected {broken}", file=sys.stderr)
            return 1
    return 0


def check_lean(environment: Environment, wheel: Path) -> list[int]:
    """`pip install edgecap`, and every command; returns the Python's major and minor number."""
    environment.pip("install", wheel)
    environment.pip("check")
    census = environment.census()
    require(census["importable"] == ["ai_edge_litert"], "one engine, no TensorFlow", census)
    others = [name for name in census["distributions"] if name != "edgecap"]
    require(len(others) <= MAXIMUM_DISTRIBUTIONS, f"at most {MAXIMUM_DISTRIBUTIONS} others", others)

    version = environment.run("edgecap", "--version")
    require(version.split()[-1] == wheel.name.split("-")[1], "the wheel's version", version)
    report(census, caption_scene(environment))
    environment.run("edgecap", "caption", "scene.jpg", "--output", "out.csv", "--sidecar", "xmp")
    caption = (environment.empty / "out.csv").read_text(encoding="utf-8").splitlines()[1]
    require(caption.startswith("scene.jpg,"), "a line of the output", caption)
    require((environment.empty / "scene.jpg.xmp").exists(), "a sidecar", caption)
    environment.run("edgecap", "inspect")
    environment.run("edgecap", "bench", "--rounds", "1", "--runs", "3")
    complaint = environment.run("edgecap", "bench", "--html", "page.html", status=2)
    require("pip install 'edgecap[bench]'" in complaint, "the extra's name", complaint)
    complaint = environment.run("edgecap", "caption", "missing.jpg", status=1)
    require("missing.jpg" in complaint, "the missing file's name", complaint)
    environment.run("python", "-c", DRAW_CORPUS, ROOT / "tests")
    request = ("--data", "corpus", "--output", "mine.edgecap")
    complaint = environment.run("edgecap", "convert", *request, status=2)
    require("pip install 'edgecap[convert]'" in complaint, "the extra's name", complaint)
    return list(census["python"][:2])


def check_smallest(environment: Environment, wheel: Path) -> None:
    """The smallest installation captions too."""
    environment.pip("install", *SMALLEST)
    environment.pip("install", "--no-deps", wheel)
    census = environment.census()
    require(census["importable"] == ["tflite_runtime"], "one engine, no TensorFlow", census)
    report(census, caption_scene(environment))


def caption_scene(environment: Environment) -> str:
    """The caption of a drawn scene: at least two words."""
    environment.run("python", ROOT / "tests" / "draw_scene.py", "scene.jpg")
    caption = environment.run("edgecap", "caption", "scene.jpg").removesuffix("\n")
    require("\n" not in caption and " " in caption, "a sentence", repr(caption))
    return caption


def report(census: dict[str, Any], caption: str) -> None:
    """One line for each installation that works."""
    python = ".".join(map(str, census["python"]))
    print(
        f"Python {python}, {census['importable'][0]}: {census['megabytes']:.1f} MB in "
        f"{len(census['distributions'])} distributions: {caption}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [sys.executable]))
