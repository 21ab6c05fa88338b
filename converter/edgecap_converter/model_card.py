"""The model card that travels in a bundle's manifest (after Mitchell et al. 2019)."""

from dataclasses import dataclass

from edgecap.manifest import Graph, Manifest, Measured

_SCORES = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
}

_FAILURES = """\
- It knows only what its training photos show. Anything else is named as the nearest thing that
  they do show, with no sign of doubt.
- Counts, colours, and left and right are often wrong; small and distant things are missed.
- It does not read text and knows no names of people or places.
- It guesses gender, age and relation from looks and repeats the habits of the people who wrote
  the training captions. Do not use it to judge people.
- Captions of text, diagrams, screenshots and night scenes are mostly nonsense.
- Do not let anybody's safety depend on it."""


@dataclass(frozen=True)
class ModelCard:
    """What a model card is written from; `manifest.measured` is known."""

    manifest: Manifest
    train_photos: int
    train_captions: int

    def text(self) -> str:
        """The card as Markdown."""
        manifest, origin = self.manifest, self.manifest.origin
        settings = ", ".join(f"{key} {value}" for key, value in sorted(origin.settings.items()))
        parts = [
            f"# {manifest.name}",
            "## What it does\n\n"
            f"Writes an English sentence of at most {manifest.maximum_words} words about a photo. "
            f"Encoder {origin.encoder}, decoder {origin.decoder}, "
            f"{manifest.decoder.outputs[0].shape[-1]} words.",
            f"## Licence\n\n{manifest.licence}",
            "## Data\n\n"
            f"Data set `{origin.dataset}`: trained on {self.train_photos} photos with "
            f"{self.train_captions} captions of its train split; the epoch was chosen on its dev "
            "split.",
            "## Recipe\n\n"
            f"Encoder compression `{origin.encoder_compression}`, decoder compression "
            f"`{origin.decoder_compression}`, seed {origin.seed}; {settings}.\n\n"
            "Weights that are exactly zero in the files: "
            f"encoder {_zeros(manifest.encoder)}; decoder {_zeros(manifest.decoder)}.",
        ]
        if manifest.measured is not None:
            parts.append("## Measured quality\n\n" + _quality(manifest.measured))
        return "\n\n".join([*parts, "## Known failures\n\n" + _FAILURES]) + "\n"


def _zeros(graph: Graph) -> str:
    return ", ".join(
        f"{100 * weights.zeros / max(1, weights.count):.1f} % of {weights.count:,} in "
        f"{weights.operation}"
        for weights in graph.weights or ()
    )


def _quality(measured: Measured) -> str:
    rows = [
        f"| {label} | {measured.bundle[key]:.1f} | {measured.float_model[key]:.1f} | "
        f"{measured.constant_caption[key]:.1f} |"
        for key, label in _SCORES.items()
    ]
    return "\n".join(
        [
            f"On {measured.photos} photos of the {measured.split} split, {measured.decoding} "
            "decoding, COCO tokens, in percent. "
            f"{measured.same_captions} captions are the same before and after compression.",
            "",
            "| score | this bundle | before compression | one constant caption |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )
