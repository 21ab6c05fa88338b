"""How each half of a captioner is compressed, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgecap.errors import UsageError
from edgecap_converter.quantization import DYNAMIC_RANGE, FLOAT, FLOAT16, FULL_INTEGER


@dataclass(frozen=True)
class Recipe:
    """One way to compress a half, and its name on the command line."""

    name: str
    explanation: str
    quantization: str
    """A mode of `quantization`, for the export."""
    sparsity: float = 0.0
    """Share of the weights that pruning makes zero, 0..1."""
    quantization_aware: bool = False
    """Whether the half is trained further with its numbers rounded."""

    @property
    def trains(self) -> bool:
        """Whether the half is trained further before it is exported."""
        return self.sparsity > 0 or self.quantization_aware


SPARSITIES = (50, 80, 90)
"""Percent; those of the paper."""

_FLOAT = Recipe("none", "float32 weights and arithmetic", FLOAT)
_MODES = (
    Recipe("quantize:float16", "float16 weights, float32 arithmetic", FLOAT16),
    Recipe("quantize:dynamic-range", "int8 weights, float32 between the layers", DYNAMIC_RANGE),
    Recipe("quantize:full-int8", "int8 throughout, calibrated on train photos", FULL_INTEGER),
)


def _recipes(usual: str) -> dict[str, Recipe]:
    """All recipes of a half whose `quantize` is the mode `usual`."""
    explanation = next(mode.explanation for mode in _MODES if mode.quantization == usual)
    exported = (_FLOAT, Recipe("quantize", explanation, usual), *_MODES)
    pruned = (
        replace(
            recipe,
            name=f"prune:{percent}" + (f"+{recipe.name}" if recipe is not _FLOAT else ""),
            explanation=f"{percent} % of the weights zero, the rest trained on; "
            + recipe.explanation,
            sparsity=percent / 100,
        )
        for recipe in exported
        for percent in SPARSITIES
    )
    aware = Recipe(
        "qat", f"trained on with rounded numbers; {explanation}", usual, quantization_aware=True
    )
    return {recipe.name: recipe for recipe in (*exported, aware, *pruned)}


ENCODER_RECIPES = _recipes(FULL_INTEGER)
# A small matrix a step: int8 arithmetic gains nothing there and costs accuracy.
DECODER_RECIPES = _recipes(DYNAMIC_RANGE)


def find_recipe(recipes: Mapping[str, Recipe], name: str, half: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: naming those of this half.
    """
    if name not in recipes:
        dense = ", ".join(one for one, recipe in recipes.items() if not recipe.sparsity)
        pruned = "|".join(map(str, SPARSITIES))
        raise UsageError(
            f"no {half} compression {name!r}: choose one of {dense}, prune:{pruned}, "
            "or both as in prune:80+quantize"
        )
    return recipes[name]
