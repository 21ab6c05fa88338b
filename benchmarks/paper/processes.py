"""Child processes: what a system takes of memory, and what a converter leaks, ends with them."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_PIECE = 65_536


def run_module(
    module: str,
    *arguments: object,
    shown: bool = False,
    python: Path | str = sys.executable,
    path: Iterable[Path | str] | None = None,
) -> str | None:
    """Runs `python -m module` to its end; None, or why it failed, in one line.

    Args:
        shown: whether what it says on standard error is passed on at once.
        python: of this environment or of another.
        path: where it finds packages besides those of its environment; by default where this
            process finds them, installed or not.
    """
    folders = [one for one in sys.path if one] if path is None else path
    said = b""
    with subprocess.Popen(
        [str(python), "-m", module, *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
    ) as child:  # fmt: skip
        assert child.stderr is not None
        while piece := os.read(child.stderr.fileno(), _PIECE):
            said = (said + piece)[-_PIECE:]
            if shown:
                sys.stderr.write(piece.decode(errors="replace"))
                sys.stderr.flush()
    if child.returncode == 0:
        return None
    if child.returncode < 0:  # it may have no time to say anything, as when memory runs out
        return f"ended by signal {-child.returncode}"
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else f"exit status {child.returncode}"
