"""What a grid is asked for, and each of its rows as a conversion of its own."""

import hashlib
import json
import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgecap import __version__, schema
from edgecap.datasets import CaptionedPhoto
from edgecap.errors import UsageError
from edgecap_converter.conversion import Conversion
from edgecap_converter.encoder_weights import FOLDER_VARIABLE, RANDOM
from edgecap_converter.grid.file import Grid, Row

WEIGHT_FILES = (".npz", ".h5")


@dataclass(frozen=True)
class GridConversion:
    """All that `edgecap convert --grid` can be asked for; as in `Conversion`, for every row."""

    grid: Grid
    data: Path
    output: Path
    """A folder of bundles, beside them the table and the picture."""
    work: Path
    encoder_weights: str | None = None
    """A folder of files `ENCODER.npz` or `.h5`, or "random"."""
    seed: int = 0
    calibration_photos: int = Conversion.calibration_photos
    as_zip: bool = False
    licence: str = Conversion.licence
    cluster: str | None = None
    """Where rows are made at once, as for `edgecap.clusters.joined`; None for this machine."""

    def require_weights(self) -> None:
        """Raises UsageError if `encoder_weights` is neither a folder nor "random"."""
        source = self.encoder_weights
        if source not in (None, RANDOM) and not Path(source).is_dir():
            raise UsageError(
                f"--encoder-weights {source}: with --grid give a folder of files ENCODER.npz, "
                f"or '{RANDOM}'"
            )

    def request(self, row: Row) -> Conversion:
        """The row as a conversion; what it loses is reported, not refused."""
        return Conversion(
            data=self.data,
            output=self.output / f"{row.name}.edgecap",
            work=self.work,
            plan=row.plan,
            encoder_weights=row.encoder_weights or self._weights(row.plan.encoder),
            seed=self.seed if row.seed is None else row.seed,
            checkpoint=None if row.checkpoint is None else Path(row.checkpoint),
            encoder_compression=row.encoder_compression,
            decoder_compression=row.decoder_compression,
            calibration_photos=(
                self.calibration_photos
                if row.calibration_photos is None
                else row.calibration_photos
            ),
            maximum_quality_loss=math.inf,
            as_zip=self.as_zip,
            licence=self.licence,
        )

    def _weights(self, encoder: str) -> str | None:
        """Where the encoder's weights lie; None for Keras's download."""
        if self.encoder_weights == RANDOM:
            return RANDOM
        folders = (self.encoder_weights, os.environ.get(FOLDER_VARIABLE))
        places = (
            Path(folder) / f"{encoder}{suffix}"
            for folder in folders if folder
            for suffix in WEIGHT_FILES
        )  # fmt: skip
        return next((str(place) for place in places if place.is_file()), None)


def request_key(request: Conversion, corpus_sha256: str) -> str:
    """Of all that the request's bundle depends on, the photos' pixels apart, 16 digits."""
    return _sha256(
        __version__,
        corpus_sha256,
        schema.to_value(request.plan),
        request.encoder_weights,
        _content_sha256(request.encoder_weights),
        _content_sha256(request.checkpoint),
        request.seed,
        request.encoder_compression,
        request.decoder_compression,
        request.calibration_photos,
        request.output.name,
        request.as_zip,
        request.licence,
    )[:16]


def corpus_sha256(name: str, photos: tuple[CaptionedPhoto, ...]) -> str:
    """Of a corpus's name, and its photos' names, captions and splits."""
    return _sha256(name, *([photo.path.name, photo.split, *photo.captions] for photo in photos))


def _sha256(*parts: object) -> str:
    # In ASCII: the name of a file need not be text.
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _content_sha256(path: str | Path | None) -> str | None:
    """Of a file; None if it cannot be read, which its row will find out."""
    if path in (None, RANDOM):
        return None
    try:
        stat = os.stat(path)  # noqa: PTH116 (a text that is no path raises ValueError)
        return _file_sha256(Path(path), stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError):
        return None


@cache
def _file_sha256(path: Path, _size: int, _time: int) -> str:
    """Once for a file that many rows share and nobody changes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
