"""How each half of a captioner is compressed, as data."""

from dataclasses import dataclass

from edgecap.errors import UsageError
from edgecap_converter.quantization import DYNAMIC_RANGE, FLOAT, FULL_INTEGER


@dataclass(frozen=True)
class Recipe:
    """One way to compress a graph, and its name on the command line."""

    name: str
    quantization: str
    explanation: str


ENCODER_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("none", FLOAT, "float32 weights and arithmetic"),
        Recipe("quantize", FULL_INTEGER, "int8 throughout, calibrated on train photos"),
    )
}
# A small matrix a step: int8 arithmetic gains nothing there and costs accuracy.
DECODER_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("none", FLOAT, "float32 weights and arithmetic"),
        Recipe("quantize", DYNAMIC_RANGE, "int8 weights, float32 state and scores"),
    )
}


def find_recipe(recipes: dict[str, Recipe], name: str, half: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: naming those of this half.
    """
    if name not in recipes:
        raise UsageError(f"no {half} compression {name!r}: choose one of {', '.join(recipes)}")
    return recipes[name]
