"""What is fetched once and kept: Debian's packages of other architectures, and qemu.

The folder is `$EDGECAP_DEVICES`, by default `~/.cache/edgecap-devices`; it can be deleted at will.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def kept(name: str, content: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` filled once, kept until what it shall hold, `content`, changes."""
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    home = Path(os.environ.get("EDGECAP_DEVICES") or Path.home() / ".cache" / "edgecap-devices")
    folder = home / f"{name}-{digest}"
    if not folder.exists():
        partial = home / f".{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return folder
