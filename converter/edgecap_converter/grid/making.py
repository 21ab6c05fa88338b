"""Making the rows of a grid that are not there yet."""

import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecap.errors import EdgecapError
from edgecap_converter.apart import run_apart
from edgecap_converter.conversion import Conversion
from edgecap_converter.grid.result import Failed, Made
from edgecap_converter.progress import say

Make = Callable[[Conversion], Made]
"""Makes one row's bundle; a function of a module, called in another process."""
Outcome = Made | Failed


@dataclass(frozen=True)
class Job:
    """A row to make."""

    index: int
    """In the grid, from 0."""
    label: str
    """Said when it begins."""
    request: Conversion


def in_turn(jobs: Sequence[Job], make: Make) -> Generator[tuple[int, Outcome], None, None]:
    """Row after row on this machine; gives each row's index and what came of it."""
    for job in jobs:
        say(job.label)
        yield job.index, make_apart(job.request, make)


def make_apart(request: Conversion, make: Make) -> Outcome:
    """One row in a process of its own, in the place of what an earlier run left of it."""
    try:
        _clear(request.output)
        return run_apart(make, request)
    except EdgecapError as error:
        return Failed(str(error))
    except OSError as error:
        return Failed(f"cannot remove {error.filename} ({error.strerror}): check its rights")


def _clear(bundle: Path) -> None:
    """Removes what an earlier run left under the bundle's name, whole or beside it."""
    for path in (bundle, *bundle.parent.glob(f".{bundle.name}.*")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
