"""What a grid will do, said before it starts."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgecap.datasets import load_dataset, select
from edgecap.errors import EdgecapError
from edgecap_converter.apart import run_apart
from edgecap_converter.conversion import Conversion
from edgecap_converter.encoder_weights import RANDOM
from edgecap_converter.estimate import FIXED_SECONDS, Estimate
from edgecap_converter.model import Model
from edgecap_converter.plan import Plan
from edgecap_converter.progress import say
from edgecap_converter.recipes import DECODER_RECIPES, ENCODER_RECIPES, Recipe, find_recipe
from edgecap_converter.stages import Corpus, start


@dataclass(frozen=True)
class Shared:
    """Conversions that start from the same trained model."""

    requests: tuple[Conversion, ...]

    @property
    def label(self) -> str:
        """For people."""
        first, rows = self.requests[0], count_rows(len(self.requests))
        halves = f"{first.plan.encoder} with {first.plan.decoder}"
        if first.checkpoint is not None:
            return f"{halves}: {rows} from {first.checkpoint}"
        return f"{halves}: {rows}; computed once: {_stages(first.plan)}"


def count_rows(number: int) -> str:
    """For people."""
    return f"{number} row{'s' * (number != 1)}"


def _stages(plan: Plan) -> str:
    settings = (
        ("fine-tuning", plan.fine_tuning),
        ("sequence training", plan.sequence),
        ("rehearsal", plan.rehearsal),
    )
    later = [name for name, one in settings if one.epochs > 0]
    return ", ".join(["features", "training", *later])


def share(requests: Sequence[Conversion]) -> list[Shared]:
    """Which conversions start from the same trained model, in the order of their first."""
    groups: dict[object, list[Conversion]] = {}
    for request in requests:
        trained = (request.plan, request.encoder_weights, request.seed)
        groups.setdefault(request.checkpoint or trained, []).append(request)
    return [Shared(tuple(group)) for group in groups.values()]


def announce(name: str, requests: Sequence[Conversion], kept: int) -> None:
    """Lines on stderr: how many rows, what they share, about how long all will take."""
    say(f"{name}: {count_rows(len(requests) + kept)}, {kept} of them there already")
    if not requests:
        return
    shared = share(requests)
    for one in shared:
        say(f"  {one.label}")
    try:
        seconds = run_apart(expected_seconds, shared)
    except EdgecapError as error:
        say(f"how long it takes is not known ({error})")
    else:
        say(
            f"expected on {os.cpu_count()} cores: about {seconds / 60:.0f} minutes, as if nothing "
            "were in the working folder"
        )
    say("stop with Ctrl-C, the same command goes on")


def expected_seconds(shared: Sequence[Shared]) -> float:
    """Of all conversions, as if nothing of theirs was in the working folder."""
    return sum(map(_seconds, shared))


def _seconds(shared: Shared) -> float:
    """What cannot be made takes no time."""
    request, rows = shared.requests[0], len(shared.requests)
    try:
        photos = load_dataset(request.data)
        train, dev = select(photos, "train"), select(photos, "dev")
        corpus = Corpus(request.data.name, train, dev, request.work)
        trained = request.checkpoint is not None
        if request.checkpoint is not None:
            model = Model.load(request.checkpoint)
        else:
            # Any weights do: only their number counts.
            model = start(request.plan, corpus, RANDOM, request.seed)
        retraining = list(_retraining(shared.requests))
    except EdgecapError:
        return 0.0

    def seconds(recipes: tuple[Recipe, Recipe], trained: bool) -> float:
        return Estimate.of(model, request.plan, corpus, recipes, trained).seconds

    nothing = (ENCODER_RECIPES["none"], DECODER_RECIPES["none"])
    finished = seconds(nothing, trained=True)
    again = sum(seconds(recipes, trained=True) - finished for recipes in retraining)
    # The estimate holds what one row takes beside the training.
    return seconds(nothing, trained) + again + (rows - 1) * FIXED_SECONDS


def _retraining(requests: Sequence[Conversion]) -> Iterator[tuple[Recipe, Recipe]]:
    """The recipes of the rows, `none` in place of one whose training an earlier row has done."""
    done: set[tuple[object, ...]] = set()
    for request in requests:
        encoder = find_recipe(ENCODER_RECIPES, request.encoder_compression, "encoder")
        decoder = find_recipe(DECODER_RECIPES, request.decoder_compression, "decoder")
        of_encoder = (encoder.sparsity, encoder.quantization_aware)
        of_decoder = (*of_encoder, decoder.sparsity, decoder.quantization_aware)
        yield (
            ENCODER_RECIPES["none"] if of_encoder in done else encoder,
            DECODER_RECIPES["none"] if of_decoder in done else decoder,
        )
        done |= {of_encoder, of_decoder}
