"""One row of a grid: from its request, the corpus and the working folder to its bundle."""

import time

from edgecap.errors import ConversionError
from edgecap.manifest import Graph
from edgecap.sizes import folder_bytes, member_sizes, zip_bytes
from edgecap_converter import checkpoints
from edgecap_converter.conversion import Conversion, convert
from edgecap_converter.grid.result import Made, Size


def make_row(request: Conversion) -> Made:
    """Makes the bundle at `request.output`; the same request gives the same bundle.

    Raises:
        EdgecapError: as `convert`; also if the checkpoint's halves are not those of the plan.
    """
    started = time.monotonic()
    _require_halves(request)
    manifest = convert(request)
    assert manifest.measured is not None  # a conversion ends with verification
    sizes = member_sizes(request.output)
    return Made(
        sha256=manifest.sha256,
        members={one.name: Size(one.bytes, one.deflated_bytes) for one in sizes},
        folder_bytes=folder_bytes(sizes),
        zip_bytes=zip_bytes(sizes),
        encoder_zeros=_zeros(manifest.encoder),
        decoder_zeros=_zeros(manifest.decoder),
        measured=manifest.measured,
        seconds=round(time.monotonic() - started, 1),
    )


def _zeros(graph: Graph) -> float | None:
    """Percent of all weights that the manifest has counted in the graph's file."""
    if not graph.weights:
        return None
    zeros = sum(one.zeros for one in graph.weights)
    return round(100 * zeros / sum(one.count for one in graph.weights), 2)


def _require_halves(request: Conversion) -> None:
    """The table names encoder and decoder by the row, the bundle by its checkpoint."""
    if request.checkpoint is None:
        return
    _, configuration = checkpoints.load(request.checkpoint)
    found = configuration if isinstance(configuration, dict) else {}
    for half in ("encoder", "decoder"):
        expected = getattr(request.plan, half)
        if found.get(half) != expected:
            raise ConversionError(
                f"{request.checkpoint} has the {half} {str(found.get(half))[:60]!r}, the row says "
                f"{expected!r}: it is of another architecture"
            )
