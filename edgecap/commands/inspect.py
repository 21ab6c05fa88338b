"""`edgecap inspect`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from edgecap import schema
from edgecap.cli import print_line
from edgecap.commands.engine import backend_option
from edgecap.sizes import MemberSize, folder_bytes, member_sizes, zip_bytes
from edgecap_runtime.startup import without_collections, without_engine_notes

if TYPE_CHECKING:
    from edgecap.manifest import Graph, Measured, Tensor
    from edgecap_runtime import Captioner


@click.command()
@click.argument("bundle", required=False, metavar="[BUNDLE]")
@click.option("--json", "as_json", is_flag=True, help="The manifest, sizes and engine as JSON.")
@backend_option
def command(bundle: str | None, as_json: bool, backend: str) -> None:
    """Show what is in a bundle, and whether it is sound.

    BUNDLE is a folder or file; by default the packaged one. Every member's hash is checked, and
    the graphs are loaded and run once on a grey picture.

    \b
    Example:  edgecap inspect my.edgecap --json
    """
    with without_collections(), without_engine_notes():
        import numpy as np

        from edgecap_runtime import Captioner

        captioner = Captioner.load(bundle, threads=1, backend=backend)
    opened = captioner.bundle
    photo = opened.manifest.input
    captioner.caption(np.full((photo.height, photo.width, 3), 128, np.uint8))
    sizes = member_sizes(opened.path)
    if as_json:
        print_line(json.dumps(_as_value(captioner, sizes), indent=2))
    else:
        for line in _as_text(captioner, sizes):
            print_line(line)


def _as_value(captioner: Captioner, sizes: tuple[MemberSize, ...]) -> dict[str, object]:
    return {
        "path": captioner.bundle.path,
        "manifest": schema.to_value(captioner.bundle.manifest),
        "sizes": {
            "members": {
                size.name: {"bytes": size.bytes, "deflated_bytes": size.deflated_bytes}
                for size in sizes
            },
            "folder_bytes": folder_bytes(sizes),
            "zip_bytes": zip_bytes(sizes),
        },
        "engine": {
            "distribution": captioner.engine.distribution,
            "version": captioner.engine.version,
        },
    }


def _as_text(captioner: Captioner, sizes: tuple[MemberSize, ...]) -> Iterator[str]:
    manifest = captioner.bundle.manifest
    engine = captioner.engine
    photo, origin = manifest.input, manifest.origin
    yield f"{manifest.name}: {manifest.format} {manifest.version}, {captioner.bundle.path}"
    yield f"sound: hashes match, both graphs run on {engine.distribution} {engine.version}"

    yield from _heading("Size, MB (10^6 bytes)")
    yield _row("", "as it is", "deflated")
    for size in sizes:
        yield _row(size.name, _megabytes(size.bytes), _megabytes(size.deflated_bytes))
    yield _row("folder, zip file", _megabytes(folder_bytes(sizes)), _megabytes(zip_bytes(sizes)))

    yield from _heading("Graphs")
    yield (
        f"photo    {photo.width} x {photo.height} {photo.colour_order}, squashed to fit, "
        f"{photo.resampling}"
    )
    yield from _graph("encoder", manifest.encoder)
    yield from _graph("decoder", manifest.decoder)
    yield f"words    {len(captioner.bundle.tokenizer)} known, at most {manifest.maximum_words} said"

    yield from _heading("Origin")
    yield f"encoder  {origin.encoder}, {origin.encoder_compression}"
    yield f"decoder  {origin.decoder}, {origin.decoder_compression}"
    yield f"trained  on {origin.dataset}, seed {origin.seed}"
    yield f"made by  {_listed(origin.versions)}; commit {origin.commit or 'unknown'}"
    yield f"settings {_listed(origin.settings)}"
    yield f"engines  {_listed(manifest.oldest_engines)}, or newer"
    yield f"SHA-256  {manifest.sha256}"

    yield from _quality(manifest.measured)
    yield from _heading("Licence")
    yield manifest.licence
    yield from _heading("Model card")
    yield manifest.model_card.rstrip()


def _graph(name: str, graph: Graph) -> Iterator[str]:
    yield f"{name}  {graph.multiply_accumulates:,} multiply-accumulates"
    for side, tensors in (("in ", graph.inputs), ("out", graph.outputs)):
        for tensor in tensors:
            yield f"  {side}    {_tensor(tensor)}"
    for weights in graph.weights or ():
        share = weights.zeros / max(1, weights.count)
        yield f"  weights  {weights.operation}: {weights.count:,}, {100 * share:.1f} % of them zero"


def _tensor(tensor: Tensor) -> str:
    return f"{tensor.name}: {tensor.dtype} {' x '.join(map(str, tensor.shape))}"


def _quality(measured: Measured | None) -> Iterator[str]:
    yield from _heading("Measured when it was made")
    if measured is None:
        yield "nothing"
        return
    yield (
        f"{measured.photos} photos of {measured.split}, {measured.decoding}; "
        f"{measured.same_captions} captions as the float model's"
    )
    yield _row("", "bundle", "float model", "constant caption")
    for name, score in measured.bundle.items():
        others = (measured.float_model.get(name), measured.constant_caption.get(name))
        yield _row(name, f"{score:.1f}", *("" if one is None else f"{one:.1f}" for one in others))


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield text


def _row(name: str, *cells: str) -> str:
    return f"  {name:18}" + "".join(f"{cell:>12}  " for cell in cells).rstrip()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.3f}"


def _listed(values: dict[str, str] | dict[str, str | bool | int | float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
