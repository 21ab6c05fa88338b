"""What was measured, as `peers.json` holds it, field by field.

Sizes are bytes, times milliseconds. `edgecap.schema` reads and writes it.
"""

from dataclasses import dataclass

from edgecap_bench.conditions import Conditions
from edgecap_bench.latency import Distribution
from edgecap_bench.report import Sizes
from paper.record import Agreement, Failed

FORMAT, VERSION = "edgecap-peers", 1


@dataclass(frozen=True)
class Measured:
    """A system that was measured; times and memory are over the rounds.

    Attributes:
        name: by which the rest of the record refers to it.
        title: what it is, for people.
        environment: a name of `environments.json`, which has the versions.
        engine: name and version.
        random_weights: whether it has never learned anything: only size, time and memory count.
        parameters: how many weights; None where the files are the better measure.
        sizes: of every file that the model needs at run time.
        installed_bytes: of the environment, without model, pip, `.pyc` files, and Python itself.
        photo_ms: a caption, from the file to the words; a value is the mean over the photos of
            one round.
        cold_start_ms: from the asking for a process to its first caption, files in the cache.
        peak_memory_bytes: the median of the processes' largest resident sizes.
        agreement: how far its outputs are from those of edgecap; None where it is another model
            or edgecap was not measured.
        same_captions: of how many photos it said the same words as edgecap; None likewise.
        words: what it said of the first photo.
    """

    name: str
    title: str
    environment: str
    engine: str
    random_weights: bool
    parameters: int | None
    sizes: Sizes
    installed_bytes: int
    photo_ms: Distribution
    cold_start_ms: Distribution
    peak_memory_bytes: int
    agreement: Agreement | None
    same_captions: int | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class Timing:
    """One run, in which all systems took turns.

    Attributes:
        conditions: of the whole run; its versions are those of the environment that led it.
        python: of the environments.
        threads: of every engine; one step of the bundle's decoder takes one.
        words: words or tokens that every caption was made to have.
        photos, rounds: each system captioned so many photos so many times, in a new process
            each time, after its first caption and `warm_up` more that do not count.
    """

    conditions: Conditions
    python: str
    threads: int
    words: int
    photos: int
    rounds: int
    warm_up: int
    systems: tuple[Measured | Failed, ...]


@dataclass(frozen=True)
class Record:
    """The whole file; None if nothing was measured yet."""

    format: str = FORMAT
    version: int = VERSION
    timing: Timing | None = None
