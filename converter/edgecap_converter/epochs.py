"""The loop around every kind of training: progress, the best epoch by dev CIDEr, going on after a
kill.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from edgecap.metrics import Scorer
from edgecap_converter import checkpoints
from edgecap_converter.frameworks import keep_freed_memory
from edgecap_converter.progress import progress, say

History = list[dict[str, float]]
"""Loss and dev scores of each epoch."""


class Trainer(Protocol):
    """What is trained, and how; the loop knows nothing else of it."""

    earliest: int
    """The first epoch, from 0, whose weights may be kept."""

    @property
    def steps(self) -> int:
        """Steps of an epoch."""

    def epoch(self, number: int) -> Iterator[float]:
        """Trains for one epoch, the same for the same number; gives each step's loss."""

    def dev_captions(self) -> list[str]:
        """A greedy caption for each dev photo, from `weights`."""

    def weights(self) -> checkpoints.Arrays:
        """What an epoch gave: it is scored, and kept if it is the best."""

    def state(self) -> checkpoints.Arrays:
        """All that the next epoch starts from, the optimizer's variables among it."""

    def restore(self, state: checkpoints.Arrays) -> None:
        """Takes up what `state` gave."""


def run_epochs(
    trainer: Trainer, epochs: int, scorer: Scorer, folder: Path, label: str
) -> tuple[checkpoints.Arrays, History]:
    """Trains for `epochs` epochs, or goes on with what is found in `folder`.

    Args:
        scorer: holds the references of the dev photos.
        folder: where this run keeps its checkpoints, and no other does.
        label: what the user reads beside the epoch.

    Returns:
        The weights of the best epoch by dev CIDEr, and what each epoch measured.

    Raises:
        ConversionError: if a checkpoint cannot be written or read.
    """
    keep_freed_memory()
    latest, best = folder / "latest.npz", folder / "best.npz"
    history: History = []
    if latest.exists():
        state, history = checkpoints.load(latest)
        trainer.restore(state)
        say(f"{label}: going on after epoch {len(history)} of {epochs}")
    for epoch in range(len(history), epochs):
        losses = []
        with progress(f"{label} {epoch + 1}/{epochs}", trainer.steps, "step") as advance:
            for loss in trainer.epoch(epoch):
                losses.append(loss)
                advance(1, f"loss {np.mean(losses[-50:]):.3f}")
        scores = scorer.score(trainer.dev_captions())
        history.append({"loss": float(np.mean(losses)), **scores.as_dict()})
        say(
            f"{label} {epoch + 1}/{epochs}: dev CIDEr {scores.cider:.1f}, "
            f"BLEU-4 {scores.bleu_4:.1f}"
        )
        # The best first: a kill between the two repeats this epoch and writes the same again.
        candidates = [past["cider"] for past in history[trainer.earliest :]]
        if candidates and scores.cider >= max(candidates):
            checkpoints.save(best, trainer.weights(), history)
        checkpoints.save(latest, trainer.state(), history)
    return checkpoints.load(best)[0], history
