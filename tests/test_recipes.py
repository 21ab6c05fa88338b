"""Recipes: what each name means for each half, and what is no recipe."""

import pytest

from edgecap.errors import UsageError
from edgecap_converter.quantization import DYNAMIC_RANGE, FLOAT, FLOAT16, FULL_INTEGER
from edgecap_converter.recipes import DECODER_RECIPES, ENCODER_RECIPES, find_recipe


@pytest.mark.parametrize(
    ("name", "encoder", "decoder", "sparsity", "aware"),
    [
        ("none", FLOAT, FLOAT, 0.0, False),
        ("quantize", FULL_INTEGER, DYNAMIC_RANGE, 0.0, False),
        ("quantize:float16", FLOAT16, FLOAT16, 0.0, False),
        ("quantize:dynamic-range", DYNAMIC_RANGE, DYNAMIC_RANGE, 0.0, False),
        ("quantize:full-int8", FULL_INTEGER, FULL_INTEGER, 0.0, False),
        ("prune:50", FLOAT, FLOAT, 0.5, False),
        ("prune:80", FLOAT, FLOAT, 0.8, False),
        ("prune:90", FLOAT, FLOAT, 0.9, False),
        ("prune:80+quantize", FULL_INTEGER, DYNAMIC_RANGE, 0.8, False),
        ("prune:90+quantize:float16", FLOAT16, FLOAT16, 0.9, False),
        ("qat", FULL_INTEGER, DYNAMIC_RANGE, 0.0, True),
    ],
)
def test_what_a_name_means(
    name: str, encoder: str, decoder: str, sparsity: float, aware: bool
) -> None:
    for recipes, half, mode in (
        (ENCODER_RECIPES, "encoder", encoder),
        (DECODER_RECIPES, "decoder", decoder),
    ):
        recipe = find_recipe(recipes, name, half)
        assert (recipe.name, recipe.quantization) == (name, mode)
        assert (recipe.sparsity, recipe.quantization_aware) == (sparsity, aware)
        assert recipe.trains == (sparsity > 0 or aware)
        assert recipe.explanation


@pytest.mark.parametrize(
    "name", ["", "zip", "prune", "prune:70", "prune:0", "prune:80+qat", "quantize+prune:80", "QAT"]
)
def test_an_unknown_name_gives_the_known_in_one_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe(ENCODER_RECIPES, name, "encoder")
    message = str(caught.value)
    assert message.startswith(f"no encoder compression {name!r}: choose one of none, quantize, ")
    assert "\n" not in message
    for known in ("qat", "prune:50|80|90", "prune:80+quantize", "quantize:full-int8"):
        assert known in message
