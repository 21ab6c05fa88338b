"""Child processes: what a system takes of memory, and what a converter leaks, ends with them."""

import os
import subprocess
import sys

_PIECE = 65_536


def run_module(module: str, *arguments: object, shown: bool = False) -> str | None:
    """Runs `python -m module` to its end; None, or why it failed, in one line.

    The child finds packages where this process finds them, installed or not. What it says on
    standard error is passed on at once if `shown`.
    """
    said = b""
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
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
