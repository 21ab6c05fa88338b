"""What people caption with instead, by their published configurations; counted without PyTorch.

Letters: `H` width, `M` width of the layers inside, `V` vocabulary.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgecap import schema

Setting = int | float | str | bool
Settings = dict[str, Setting]


@dataclass(frozen=True)
class Architecture:
    """One model of `architectures.json`.

    Attributes:
        source: where its configuration is published, and what it is.
        stored: the type of the published weights.
        prompt_tokens: what the text decoder reads before its first word, image tokens aside.
        image_tokens: of one photo, in the text decoder's own input.
        vision, text, whole: settings of both halves and of all, as transformers names them.
    """

    source: str
    stored: str
    prompt_tokens: int
    image_tokens: int
    vision: Settings
    text: Settings
    whole: Settings

    @property
    def side(self) -> int:
        """Of the photo that it takes, in pixels."""
        return _integers(self.vision)["image_size"]


VIT_GPT2, SMOLVLM = "vit-gpt2", "smolvlm-256m"


@functools.cache
def architectures() -> dict[str, Architecture]:
    """All of them by name."""
    content = Path(__file__).with_name("architectures.json").read_bytes()
    found = schema.parse(content).items()
    return {name: schema.from_value(Architecture, value, name) for name, value in found}


def parameters(name: str) -> int:
    """How many weights a model has, shared ones once."""
    return {VIT_GPT2: _vit_gpt2, SMOLVLM: _smolvlm}[name](architectures()[name])


def _vit_gpt2(model: Architecture) -> int:
    width = _integers(model.vision)["hidden_size"]
    class_token, its_position, pooler = width, width, width * width + width
    text = gpt2(model.text, cross_attention=True)
    return vision_transformer(model.vision) + class_token + its_position + pooler + text


def _smolvlm(model: Architecture) -> int:
    vision, text, whole = (_integers(one) for one in (model.vision, model.text, model.whole))
    # A square of so many patches becomes one token of the text's width.
    connector = whole["scale_factor"] ** 2 * vision["hidden_size"] * text["hidden_size"]
    words = 0 if whole["tie_word_embeddings"] else text["vocab_size"] * text["hidden_size"]
    return vision_transformer(model.vision) + connector + llama(model.text) + words


def vision_transformer(settings: Mapping[str, Setting]) -> int:
    """Patches, positions, layers, norm: Dosovitskiy et al. (2021), without class token and head."""
    size = _integers(settings)
    width, inside = size["hidden_size"], size["intermediate_size"]
    patch = size["num_channels"] * size["patch_size"] ** 2
    positions = (size["image_size"] // size["patch_size"]) ** 2
    attention = 4 * (width * width + width)
    layer = attention + 2 * width * inside + inside + width + 4 * width
    return patch * width + width + positions * width + size["num_hidden_layers"] * layer + 2 * width


def gpt2(settings: Mapping[str, Setting], cross_attention: bool) -> int:
    """Radford et al. (2019), its word layer shared with its word vectors; `M` is `4 H`.

    Cross attention adds to each layer four matrices `H x H` with their biases, and a norm.
    """
    size = _integers(settings)
    width = size["n_embd"]
    layer = 12 * width * width + 13 * width
    if cross_attention:
        layer += 4 * width * width + 6 * width
    embeddings = (size["vocab_size"] + size["n_positions"]) * width
    return embeddings + size["n_layer"] * layer + 2 * width


def llama(settings: Mapping[str, Setting]) -> int:
    """Word vectors, layers with grouped queries and gates, norm; without a word layer."""
    size = _integers(settings)
    width, inside = size["hidden_size"], size["intermediate_size"]
    queries = size["num_attention_heads"] * size["head_dim"]
    keys = size["num_key_value_heads"] * size["head_dim"]
    layer = 2 * width * queries + 2 * width * keys + 3 * width * inside + 2 * width
    return size["vocab_size"] * width + size["num_hidden_layers"] * layer + width


def _integers(settings: Mapping[str, Setting]) -> dict[str, int]:
    return {name: value for name, value in settings.items() if isinstance(value, int)}
