"""Compare edgecap's metrics with the COCO caption code's, and its words with Stanford's.

Needs Java and ``pip install -e '.[bench]' pycocoevalcap==1.2``. Then either of

    EDGECAP_FLICKR8K=DIR python benchmarks/check_metrics.py
    python benchmarks/check_metrics.py --captions FILE

FILE ("-" for stdin) is JSON: [references, hypotheses], a list of captions a photo and one
caption a photo. The first table feeds our words to both sides, so that it shows the formulas
alone; in the second each side cuts its own words. Values are in percent.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from edgecap.datasets import load_dataset, select
from edgecap.metrics import CONSTANT_CAPTION, Scores, score, tokenize

Cut = Callable[[Sequence[Sequence[str]]], dict[int, list[str]]]
Case = tuple[Sequence[Sequence[str]], Sequence[str]]


def our_words(captions: Sequence[Sequence[str]]) -> dict[int, list[str]]:
    """The COCO code takes words joined by spaces, and cuts there again."""
    return {
        photo: [" ".join(tokenize(caption)) for caption in one]
        for photo, one in enumerate(captions)
    }


def their_words(captions: Sequence[Sequence[str]]) -> dict[int, list[str]]:
    records = {photo: [{"caption": text} for text in one] for photo, one in enumerate(captions)}
    words: dict[int, list[str]] = PTBTokenizer().tokenize(records)
    return words


def coco_score(references: Sequence[Sequence[str]], hypotheses: Sequence[str], cut: Cut) -> Scores:
    """The COCO code's scores in our units."""
    true, said = cut(references), cut([[caption] for caption in hypotheses])
    bleu, _ = Bleu(4).compute_score(true, said, verbose=0)
    values = [*bleu, Rouge().compute_score(true, said)[0], Cider().compute_score(true, said)[0]]
    return Scores(*(100 * float(value) for value in values), photos=len(hypotheses))


def cases_of(folder: str, split: str) -> dict[str, Case]:
    """Captions of known kinds for the photos of one split."""
    captions = [photo.captions for photo in select(load_dataset(folder), split)]
    shuffle = random.Random(0)
    first = [one[0] for one in captions]
    shuffled = [" ".join(shuffle.sample(words, len(words))) for words in map(str.split, first)]
    short = [" ".join(text.split()[: shuffle.randint(1, 5)]) for text in first]
    others = [one[1:] for one in captions]
    people = {
        f"caption {k} against the others": (
            [one[:k] + one[k + 1 :] for one in captions],
            [one[k] for one in captions],
        )
        for k in range(len(captions[0]))
    }
    return {
        **people,
        "caption 0, words shuffled": (others, shuffled),
        "caption 0, its first 1 to 5 words": (others, short),
        "one constant caption": (captions, [CONSTANT_CAPTION] * len(captions)),
        "nothing": (captions, [""] * len(captions)),
    }


def print_table(title: str, cases: dict[str, Case], cut: Cut) -> None:
    names = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    print(f"\n{title}\n\n| captions | | {' | '.join(names)} |\n|---|---|{'---:|' * len(names)}")
    for name, (references, hypotheses) in cases.items():
        ours = astuple(score(references, hypotheses))[:-1]
        theirs = astuple(coco_score(references, hypotheses, cut))[:-1]
        apart = [our - their for our, their in zip(ours, theirs, strict=True)]
        for label, side, values, style in (
            (name, "edgecap", ours, "{:.6f}"),
            ("", "COCO", theirs, "{:.6f}"),
            ("", "difference", apart, "{:+.1e}"),
        ):
            print(f"| {label} | {side} | {' | '.join(map(style.format, values))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", metavar="FILE", help="JSON of captions, - for stdin")
    parser.add_argument("--split", default="dev", help="of EDGECAP_FLICKR8K (default: dev)")
    arguments = parser.parse_args()
    if arguments.captions:
        source = arguments.captions
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        cases = {"as given": json.loads(text)}
    elif "EDGECAP_FLICKR8K" in os.environ:
        cases = cases_of(os.environ["EDGECAP_FLICKR8K"], arguments.split)
    else:
        parser.error("give --captions FILE, or set EDGECAP_FLICKR8K to the corpus's folder")
    print_table("Our words on both sides", cases, our_words)
    print_table("Each with its own words", cases, their_words)


if __name__ == "__main__":
    main()
