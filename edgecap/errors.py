"""Everything that can go wrong for a reason a user can act on.

Each message is one line: what was expected, what came, what to do. The command line
prints it after ``edgecap: `` and leaves with `exit_code`; nothing here is ever shown
with a traceback.
"""

from typing import ClassVar

# The environment variable that shows where an unexpected error, a fault of edgecap, comes from.
DEBUG = "EDGECAP_DEBUG"


class EdgecapError(Exception):
    """Base of every error that a user can cause."""

    exit_code: ClassVar[int] = 1


class UsageError(EdgecapError):
    """The request itself is wrong: a path that does not exist, options that contradict."""

    exit_code = 2


class MissingExtraError(UsageError):
    """A command needs packages that were not installed."""

    def __init__(self, command: str, extra: str, missing: str) -> None:
        super().__init__(
            f"{command} needs the extra '{extra}' ({missing} is not installed): "
            f"run  pip install 'edgecap[{extra}]'"
        )


class BundleError(EdgecapError):
    """A bundle is broken, of an unknown version, or not a bundle."""


class ImageError(EdgecapError):
    """A photo cannot be read."""


class SourceError(EdgecapError):
    """An input of `edgecap caption` cannot be reached (no file, no answer, no rights)."""


class OutputError(EdgecapError):
    """A result cannot be written: the disk is full, or another run holds the file."""


class ClusterError(EdgecapError):
    """A machine of a cluster cannot do its part, or the cluster as a whole."""


class SidecarError(EdgecapError):
    """A photo's sidecar cannot be read or written."""


class DatasetError(EdgecapError):
    """A caption corpus is incomplete or not in a known layout."""


class EngineError(EdgecapError):
    """No engine is installed, or the engine refuses the graph."""


class ConversionError(EdgecapError):
    """`edgecap convert` cannot make, or refuses to ship, a bundle."""
