"""Virtual environments, one for each kind of peer, made as `environments.json` says.

Every distribution is pinned and installed without what it asks for: nothing else gets in, pip
itself neither. A version with "+cpu" comes from PyTorch's own index, unless pip finds it elsewhere.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgecap import schema
from edgecap.errors import ConversionError, UsageError
from edgecap_converter.progress import say
from edgecap_converter.storage import cannot_write, whole_file
from paper.processes import run_module

PYTHON = "3.11"
"""The latest for which all engines have wheels; one for all, since it makes a difference too."""

ROOT = Path(__file__).resolve().parents[2]
# What runs in an environment finds our code here, and nothing of the environment we run in.
SOURCES = (ROOT, *(ROOT / folder for folder in ("runtime", "converter", "benchmarks")))
# What the wheel of edgecap holds, beside its bundle.
_PACKAGES = (
    "edgecap", "runtime/edgecap_runtime", "converter/edgecap_converter", "benchmarks/edgecap_bench",
)  # fmt: skip
_COMPILED, _BUNDLE = ".pyc", ".edgecap"
_MARK = "made.json"


@dataclass(frozen=True)
class Recipe:
    """One environment of `environments.json`.

    Attributes:
        why: what it is for.
        has_edgecap: whether edgecap is counted as installed in it.
        extends: the environment whose packages it sees too, if any.
        index: where else pip may look.
        requirements: all distributions, each with its version.
    """

    why: str
    has_edgecap: bool
    extends: str | None
    index: str | None
    requirements: tuple[str, ...]


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is there.

    Attributes:
        python: its interpreter.
        version: of its recipe; another one, and what was made with it may be other too.
        installed_bytes: of all files in it and of edgecap's where it runs edgecap; without
            models, `.pyc` files, and Python itself.
    """

    python: Path
    version: str
    installed_bytes: int

    def run(self, module: str, *arguments: object) -> str | None:
        """As `paper.processes.run_module`, in this environment."""
        return run_module(module, *arguments, python=self.python, path=SOURCES)


@functools.cache
def recipes() -> dict[str, Recipe]:
    """All environments by name."""
    content = Path(__file__).with_name("environments.json").read_bytes()
    found = schema.parse(content).items()
    return {name: schema.from_value(Recipe, value, name) for name, value in found}


def find_python(named: str | None) -> str:
    """An interpreter for the environments: the one named, this one, or one on the path.

    Raises:
        UsageError: if there is none of the version that is needed.
    """
    beside = shutil.which(f"python{PYTHON}")
    for one in (named,) if named else (sys.executable, beside):
        if one is not None and _version(one) == PYTHON:
            return one
    tried = f"{named} is none" if named else "none was found"
    raise UsageError(f"expected a Python {PYTHON}, {tried}: install it and name it with --python")


def _version(python: str) -> str | None:
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def make(name: str, work: Path, python: str) -> Environment:
    """The environment, from the working folder if it is there as its recipe says.

    Args:
        name: of `recipes`.
        work: the environments lie in its folder `environments`.
        python: from `find_python`.

    Raises:
        ConversionError: if it cannot be made, with the last line of what failed.
    """
    recipe = recipes()[name]
    below = make(recipe.extends, work, python) if recipe.extends else None
    folder = (work / "environments" / name).resolve()
    mark, content = folder / _MARK, schema.canonical(schema.to_value(recipe))
    if not mark.exists() or mark.read_bytes() != content:
        say(f"making {folder}: {len(recipe.requirements)} packages")
        reason = _fill(folder, recipe, below, python)
        if reason is not None:
            raise ConversionError(f"the environment {name} could not be made ({reason})")
        # Last: what has no mark was not finished, and is made anew.
        with whole_file(mark) as file:
            file.write(content)
    paths = set(_files(folder))
    if recipe.has_edgecap:
        paths |= {one for package in _PACKAGES for one in _files(ROOT / package)}
    size = sum(path.stat().st_size for path in paths)
    if below is None:
        return Environment(_interpreter(folder), short_hash(content), size)
    version = short_hash(content + below.version.encode())
    return Environment(_interpreter(folder), version, size + below.installed_bytes)


def short_hash(content: bytes) -> str:
    """For names of folders."""
    return hashlib.sha256(content).hexdigest()[:12]


def _fill(folder: Path, recipe: Recipe, below: Environment | None, python: str) -> str | None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        reason = run_module("venv", "--without-pip", folder, python=python, path=())
        reason = reason or _install(folder, recipe)
        if reason is None and below is not None:
            (seen,) = below.python.parents[1].glob("lib/python*/site-packages")
            (own,) = folder.glob("lib/python*/site-packages")
            (own / "extends.pth").write_text(f"{seen}\n", encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder, error) from error
    return reason


def _install(folder: Path, recipe: Recipe) -> str | None:
    """By this environment's pip, which leaves none there."""
    command = [
        "--python",
        _interpreter(folder),
        "install",
        "--no-deps",
        "-qq",
        *recipe.requirements,
    ]
    reason = run_module("pip", *command, path=())
    # Where it cannot be reached, asking it for every package would take minutes.
    if reason is not None and recipe.index is not None:
        reason = run_module("pip", *command, "--extra-index-url", recipe.index, path=())
    return reason


def _interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def _files(folder: Path) -> Iterator[Path]:
    """All files of a folder that were installed; models are counted apart."""
    for place, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if not one.endswith(_BUNDLE)]
        for path in (Path(place, name) for name in names):
            if path.suffix != _COMPILED and not path.is_symlink():
                yield path
