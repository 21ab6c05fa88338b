"""What a manifest must say for the runtime to serve it.

The encoder turns one uint8 photo into float32 tensors, `state` among them. The decoder is one
step: `token` int32, `state` and every other encoder output in; `scores` `(1, V)` and the next
`state` out. Nothing here knows which encoder or decoder it is.
"""

import re

from edgecap.errors import BundleError
from edgecap.manifest import DECODER, ENCODER, MEMBERS, TOKENIZER, Graph, Manifest, Tensor

RESAMPLINGS = ("bilinear", "bicubic", "lanczos", "box", "nearest")
MAXIMUM_SIDE = 4_096
# A TFLite file is a FlatBuffer: its offsets end here. Words are read as Python objects.
MAXIMUM_MEMBER_BYTES = {ENCODER: 2**31 - 1, DECODER: 2**31 - 1, TOKENIZER: 10_000_000}
MAXIMUM_ELEMENTS = 2**28
MAXIMUM_WORDS = 1_000

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_manifest(manifest: Manifest) -> None:
    """Raises BundleError, in one line, for the first thing that cannot be served."""

    def require(holds: bool, complaint: str) -> None:
        if not holds:
            raise BundleError(f"the manifest {complaint}: make the bundle again")

    require(NAME.fullmatch(manifest.name) is not None, "has an unusable name")
    photo = manifest.input
    sides = (photo.height, photo.width)
    require(all(1 <= side <= MAXIMUM_SIDE for side in sides), "has an unusable photo size")
    require(photo.resampling in RESAMPLINGS, f"needs a resampling out of {RESAMPLINGS}")
    require(photo.colour_order == "RGB", "asks for a colour order other than RGB")
    require(1 <= manifest.maximum_words <= MAXIMUM_WORDS, "has an unusable longest caption")

    require(manifest.members.keys() == set(MEMBERS), f"must list the members {MEMBERS}")
    for name, member in manifest.members.items():
        require(0 < member.bytes <= MAXIMUM_MEMBER_BYTES[name], f"gives {name} an impossible size")
        require(_SHA256.fullmatch(member.sha256) is not None, f"gives {name} no SHA-256")

    encoder_in, encoder_out = _sides(manifest.encoder)
    decoder_in, decoder_out = _sides(manifest.decoder)
    require(
        [(t.shape, t.dtype) for t in encoder_in.values()] == [((1, *sides, 3), "uint8")],
        "does not give the encoder one uint8 photo",
    )
    require(
        all(t.dtype == "float32" for t in encoder_out.values()), "has encoder outputs not float32"
    )
    token = decoder_in.pop("token", None)
    require(token is not None and (token.shape, token.dtype) == ((1,), "int32"), "has no token")
    require("state" in decoder_in and decoder_in == encoder_out, "does not join its two graphs")
    scores = decoder_out.pop("scores", None)
    require(
        scores is not None and len(scores.shape) == 2 and scores.shape[0] == 1
        and scores.dtype == "float32",
        "has no scores over words",
    )  # fmt: skip
    require(decoder_out == {"state": decoder_in["state"]}, "does not carry the decoder's state")


def _sides(graph: Graph) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and outputs of a graph by name; sizes and names are checked."""
    if graph.multiply_accumulates < 0:
        raise BundleError("the manifest counts less than no multiply-accumulates")
    if not all(0 <= weights.zeros <= weights.count for weights in graph.weights or ()):
        raise BundleError("the manifest counts more zeros than weights: make the bundle again")
    for tensors in (graph.inputs, graph.outputs):
        if len({tensor.name for tensor in tensors}) != len(tensors):
            raise BundleError("the manifest names a tensor twice: make the bundle again")
        for tensor in tensors:
            elements = 1
            for side in tensor.shape:
                elements *= side
                if side < 1 or elements > MAXIMUM_ELEMENTS:
                    raise BundleError(
                        f"the manifest gives {tensor.name[:40]} an impossible shape: "
                        "make the bundle again"
                    )
    return {t.name: t for t in graph.inputs}, {t.name: t for t in graph.outputs}
