"""Train a decoder on several hosts at once, in step with each other.

On each host, with its own index:

    export TF_CONFIG='{"cluster": {"worker": ["host-a:2222", "host-b:2222"]},
                       "task": {"type": "worker", "index": 0}}'
    python converter/examples/several_hosts.py --data flickr8k --output trained.npz

and on the first one afterwards:

    edgecap convert --data flickr8k --checkpoint trained.npz --output mine.edgecap

`tf.distribute.MultiWorkerMirroredStrategy` keeps the weights the same on all hosts: each computes
the gradients of its share of a batch, and all add them up. If a host fails the others stop.

Source: https://www.tensorflow.org/tutorials/distribute/multi_worker_with_ctl
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecap.datasets import load_dataset, select
from edgecap_converter.batches import batch_count, epoch_batches
from edgecap_converter.frameworks import import_tensorflow
from edgecap_converter.model import Model, build_model
from edgecap_converter.optimizer import Optimizer
from edgecap_converter.plan import PRESETS, Plan, find_preset
from edgecap_converter.progress import say
from edgecap_converter.stages import Corpus, start
from edgecap_converter.unroll import dropout_masks, smoothed_loss, unroll


@dataclass(frozen=True)
class Place:
    """Which of the hosts this is."""

    index: int
    hosts: int

    @classmethod
    def from_environment(cls) -> "Place":
        """From `TF_CONFIG`; without it the only one."""
        config = json.loads(os.environ.get("TF_CONFIG", "{}"))
        workers = config.get("cluster", {}).get("worker", ["localhost"])
        return cls(config.get("task", {}).get("index", 0), len(workers))


def train_together(
    plan: Plan, corpus: Corpus, encoder_weights: str | None, seed: int
) -> tuple[Model, list[float]]:
    """The first stage of a plan, word by word on features that do not change, on all hosts.

    To be called before TensorFlow has done anything else, with the same arguments on every host;
    but each needs a working folder of its own, where it keeps the features.

    Returns:
        The model after the last epoch, the same on every host, and this host's mean loss of each
        epoch, in nats a word.
    """
    tensorflow = import_tensorflow()
    strategy = tensorflow.distribute.MultiWorkerMirroredStrategy()
    place, settings = Place.from_environment(), plan.training
    # The encoder does not change: every host has one of its own.
    model = start(plan, corpus, encoder_weights, seed)
    features, captions = corpus.features(model, "train"), corpus.captions(model)
    with strategy.scope():
        model = build_model(model.configuration, model.encoder, model.network)
        variables = model.decoder.variables
        optimizer = Optimizer(
            variables,
            settings.learning_rate,
            settings.epochs * batch_count(captions, settings.batch),
            weight_decay=settings.weight_decay,
            maximum_gradient=settings.maximum_gradient,
        )

    def replica_step(grid: Any, inputs: Any, targets: Any, random: Any) -> Any:
        masks = dropout_masks(model.decoder, grid, inputs, settings.dropout, random)
        with tensorflow.GradientTape() as tape:
            scores = unroll(model.decoder, tensorflow.cast(grid, tensorflow.float32), inputs, masks)
            loss = smoothed_loss(scores, targets, settings.label_smoothing)
            # The optimizer adds up the gradients of all hosts.
            share = loss / place.hosts
        optimizer.apply(tape.gradient(share, variables))
        return loss

    @tensorflow.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(*batch: Any) -> Any:
        return strategy.run(replica_step, args=batch)

    def epoch(number: int) -> Iterator[float]:
        batches = epoch_batches(captions, settings.batch, plan.maximum_words, seed, number)
        for count, batch in enumerate(batches, number * batch_count(captions, settings.batch)):
            optimizer.start_step(count)
            ours = slice(place.index, None, place.hosts)
            random = np.array([seed, count * place.hosts + place.index], np.int32)
            grid = features[batch.photos[ours]]
            yield float(step(grid, batch.inputs[ours], batch.targets[ours], random))

    losses = []
    for number in range(settings.epochs):
        losses.append(float(np.mean(list(epoch(number)))))
        say(f"host {place.index}, epoch {number + 1}/{settings.epochs}: loss {losses[-1]:.3f}")
    return model, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the caption corpus")
    parser.add_argument("--output", type=Path, required=True, help="written by the first host")
    parser.add_argument("--work", type=Path, default=Path("edgecap-work"), help="not to be shared")
    parser.add_argument("--preset", choices=PRESETS, default="frozen")
    parser.add_argument("--encoder-weights", help="as for edgecap convert")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    photos = load_dataset(asked.data)
    corpus = Corpus(asked.data.name, select(photos, "train"), select(photos, "dev"), asked.work)
    plan = find_preset(asked.preset)
    model, _ = train_together(plan, corpus, asked.encoder_weights, asked.seed)
    if Place.from_environment().index == 0:
        model.save(asked.output)


if __name__ == "__main__":
    main()
