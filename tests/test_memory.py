"""Memory goes back to the system."""

import ctypes
import platform
import sys

import pytest

from edgecap.memory import give_back
from edgecap_bench.memory import resident_memory

PIECES, PIECE_BYTES = 500, 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is kept, and seen")
def test_memory_below_something_in_use_goes_back() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library keeps nothing")
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    # Too small for mappings of their own.
    pieces = [library.malloc(PIECE_BYTES) for _ in range(PIECES)]
    for piece in pieces:
        ctypes.memset(piece, 1, PIECE_BYTES)
    in_use = library.malloc(PIECE_BYTES)
    for piece in pieces:
        library.free(piece)
    before = resident_memory()
    give_back()
    after = resident_memory()
    library.free(in_use)
    assert before is not None
    assert after is not None
    assert before - after > 0.8 * PIECES * PIECE_BYTES
