"""For programs that load a captioner: what happens meanwhile is kept quick and quiet.

Both belong to the whole process: only for a program's main thread, before there are others.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Does not look for garbage among what is imported and loaded, nor when the program ends.

    Hardly any of it ever becomes garbage, and looking takes a tenth of a cold start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def without_engine_notes() -> Iterator[None]:
    """Drops the engine's "INFO:" lines from standard error.

    The engine writes them from C++ and has no setting for it, so file descriptor 2 is caught
    meanwhile and everything else passed on afterwards.
    """
    try:
        original = os.dup(2)
    except OSError:  # closed
        yield
        return
    reader, writer = os.pipe()
    if sys.platform != "win32":
        os.set_blocking(writer, False)  # what a pipe cannot hold is lost, and nobody waits
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        with open(reader, "rb") as caught:  # noqa: PTH123
            for line in caught:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)
