"""Memory that is free goes back to the system."""

from __future__ import annotations

import sys


def give_back() -> None:
    """Makes the C library return what it keeps for later; only glibc has a way, and needs it.

    It keeps what lies below something still in use: after a photo of 64 megapixels that can be
    300 MB, for good, and the next large photo may find no room in it. Takes about a millisecond.
    """
    if sys.platform != "linux":
        return
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # musl has none
        trim(0)
