"""Score and examine the captions of bundles on one split, beside what people wrote.

    EDGECAP_FLICKR8K=DIR python benchmarks/quality.py [--beam 3] [--split dev] BUNDLE...

Prints a Markdown table: BLEU, ROUGE-L and CIDEr as edgecap counts them (the COCO code's values,
`check_metrics.py` compares), METEOR where Java and pycocoevalcap 1.2 are there (METEOR 1.5 with
its English defaults, the COCO code's tokens), and the health of the captions. Two rows are no
model: one constant caption, and a person's caption held against the four others of its photo.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / part) for part in (".", "runtime", "benchmarks")]

from edgecap.datasets import load_dataset, select  # noqa: E402
from edgecap.errors import EdgecapError  # noqa: E402
from edgecap.health import health  # noqa: E402
from edgecap.metrics import CONSTANT_CAPTION, score  # noqa: E402
from edgecap_runtime import Captioner  # noqa: E402

COLUMNS = (
    "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "METEOR",
    "distinct", "dangling", "repeating",
)  # fmt: skip
Captions = Sequence[str]


def meteor(references: Sequence[Captions], hypotheses: Captions) -> float | None:
    """METEOR in percent by the COCO code; None without Java or pycocoevalcap."""
    try:
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    except ModuleNotFoundError:
        return None
    if shutil.which("java") is None:
        return None

    def words(captions: Iterable[Captions]) -> dict[int, list[str]]:
        records = {i: [{"caption": text} for text in one] for i, one in enumerate(captions)}
        found: dict[int, list[str]] = PTBTokenizer().tokenize(records)
        return found

    value, _ = Meteor().compute_score(words(references), words([text] for text in hypotheses))
    return 100 * float(value)


def measure(references: Sequence[Captions], hypotheses: Captions) -> list[float | None]:
    """One row of the table, in the order of `COLUMNS`."""
    scores = astuple(score(references, hypotheses))[:-1]
    return [*scores, meteor(references, hypotheses), *astuple(health(hypotheses))]


def person(references: Sequence[Captions]) -> list[float | None]:
    """The mean over which of a photo's captions is held against the others."""
    rows = [
        measure([[*one[:k], *one[k + 1 :]] for one in references], [one[k] for one in references])
        for k in range(min(map(len, references)))
    ]
    return [
        None if None in column else statistics.fmean(v for v in column if v is not None)
        for column in zip(*rows, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE")
    parser.add_argument("--beam", type=int, help="width of a beam search (default: greedy)")
    parser.add_argument("--split", default="dev", help="(default: dev)")
    parser.add_argument("--backend", default="auto", help="litert or tflite-runtime")
    arguments = parser.parse_args()
    if "EDGECAP_FLICKR8K" not in os.environ:
        parser.error("set EDGECAP_FLICKR8K to the corpus's folder")
    photos = select(load_dataset(os.environ["EDGECAP_FLICKR8K"]), arguments.split)
    references = [photo.captions for photo in photos]
    print(f"| {arguments.split}, {len(photos)} photos | {' | '.join(COLUMNS)} |")
    print(f"|---|{'---:|' * len(COLUMNS)}")

    def print_row(name: str, row: Sequence[float | None]) -> None:
        cells = ("not measured" if value is None else f"{value:.1f}" for value in row)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    print_row("one constant caption", measure(references, [CONSTANT_CAPTION] * len(photos)))
    print_row("a person, against four others", person(references))
    for bundle in arguments.bundles:
        results = Captioner.load(bundle, backend=arguments.backend).caption_many(
            (photo.path for photo in photos), beam=arguments.beam or 1
        )
        said = [result.caption.text if result.caption else "" for result in results]
        decoding = f"beam {arguments.beam}" if arguments.beam else "greedy"
        print_row(f"{Path(bundle).name}, {decoding}", measure(references, said))


if __name__ == "__main__":
    try:
        main()
    except EdgecapError as error:
        sys.exit(f"quality: {error}")
