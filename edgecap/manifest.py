"""What `manifest.json` says, as frozen dataclasses. Letters: `V` vocabulary."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgecap import schema

FORMAT, VERSION = "edgecap-bundle", 1

ENCODER = "encoder.tflite"
DECODER = "decoder.tflite"
TOKENIZER = "tokenizer.json"
MEMBERS = (DECODER, ENCODER, TOKENIZER)


def content_sha256(manifest: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of everything a manifest says but this hash itself."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(schema.canonical(content)).hexdigest()


@dataclass(frozen=True)
class InputFormat:
    """What the encoder takes: uint8, `(1, height, width, 3)`, the photo squashed to fit."""

    height: int
    width: int
    resampling: str
    colour_order: str


@dataclass(frozen=True)
class Tensor:
    """One input or output of a graph, by its name in the graph's signature."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Weights:
    """The weights of one kind of operation in a graph, and how many of them are exactly zero."""

    operation: str
    """TFLite's name of it: `CONV_2D`."""
    count: int
    zeros: int


@dataclass(frozen=True)
class Graph:
    """One TFLite file. Each encoder output feeds the decoder input of the same name."""

    signature: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    multiply_accumulates: int
    weights: tuple[Weights, ...] | None = None
    """As counted in the file; None in bundles from before they were."""


@dataclass(frozen=True)
class Member:
    """Size and hash of one file of the bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """How the bundle was made; no timestamp, so the same inputs give the same bytes."""

    encoder: str
    decoder: str
    encoder_compression: str
    decoder_compression: str
    dataset: str
    seed: int
    settings: dict[str, str | bool | int | float]
    versions: dict[str, str]
    commit: str


@dataclass(frozen=True)
class Measured:
    """Quality when the bundle was made; scores in percent, COCO tokens, on the shipped runtime."""

    split: str
    photos: int
    decoding: str
    float_model: dict[str, float]
    bundle: dict[str, float]
    constant_caption: dict[str, float]
    same_captions: int


@dataclass(frozen=True)
class Manifest:
    """Everything a reader must know before it opens a member."""

    format: str
    version: int
    name: str
    input: InputFormat
    encoder: Graph
    decoder: Graph
    maximum_words: int
    members: dict[str, Member]
    origin: Origin
    measured: Measured | None
    oldest_engines: dict[str, str]
    licence: str
    model_card: str
    sha256: str = ""

    def sealed(self, members: Mapping[str, bytes]) -> "Manifest":
        """The same manifest, vouching for these members and for itself."""
        described = {
            name: Member(len(content), hashlib.sha256(content).hexdigest())
            for name, content in sorted(members.items())
        }
        unsealed = dataclasses.replace(self, members=described, sha256="")
        return dataclasses.replace(unsealed, sha256=content_sha256(schema.to_value(unsealed)))

    def to_json(self) -> bytes:
        """UTF-8 JSON for people: format and version first, indented."""
        text = json.dumps(schema.to_value(self), indent=2, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"
