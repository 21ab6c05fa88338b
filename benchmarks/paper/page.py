"""`results/paper.md`: the paper's figures beside ours, from the record and `published.json`."""

from collections.abc import Iterable, Iterator, Sequence

from paper.goals import Goal, goals, show_difference
from paper.markdown import conditions_lines, megabytes, table_head, table_row
from paper.published import Change, Headline, published
from paper.record import Failed, Measured, Record, Scored, Timing

NOT_MEASURED = "not measured"
_MINUTE_MS = 60_000


def as_markdown(record: Record) -> Iterator[str]:
    """The page, line by line; what the record does not hold is "not measured"."""
    yield "# The paper, and edgecap beside it"
    yield ""
    yield f"{published().paper}."
    yield "Written by `python -m paper`; every figure of ours is in `paper.json`."
    yield from ("", "## What it was measured on", "", *_conditions(record))
    yield from ("", "## The claim, as they measured it", "", *_claim(record))
    yield from ("", "## The same systems, encoder counted", "", *_systems(record))
    yield from ("", "## Their rows beside ours", "", *_rows(record))
    yield from ("", "## Quality, counted both ways", "", *_quality(record))
    yield from ("", "## Numbers to reach", "", *_goals(record))


def _conditions(record: Record) -> Iterator[str]:
    timing = record.timing
    if timing is None:
        yield f"Time, size and memory: {NOT_MEASURED}."
    else:
        yield from _timing_conditions(timing)
    quality = record.quality
    if quality is None:
        yield f"Quality: {NOT_MEASURED}."
    else:
        yield (
            f"Quality: {quality.photos:,} photos of the {quality.split} split of "
            f"`{quality.dataset}`, greedy, {quality.engine}. Theirs is of the test split."
        )


def _timing_conditions(timing: Timing) -> Iterator[str]:
    samples = published().samples
    engines = dict.fromkeys(one.engine for one in timing.systems if isinstance(one, Measured))
    yield from conditions_lines(timing.conditions)
    yield f"Engines: {'; '.join(engines)}."
    yield (
        f"In turns, {timing.rounds} rounds, each system in a new process each time: "
        f"{timing.photos} photos ({100 * timing.photos / samples:g} % of their {samples:,} "
        f"samples) after {timing.warm_up} to warm up, {timing.words} words forced, threads: "
        f"{timing.threads} (a step of our decoder: 1). Times are medians over the rounds of the "
        f"mean over the photos; minutes are scaled up to {samples:,} samples. MB are 10^6 bytes "
        "of all files needed at run time, as they are and deflated. Memory is the process's peak."
    )


def _claim(record: Record) -> Iterator[str]:
    paper = published()
    baseline, quantized = (paper.headline[name] for name in ("baseline", "quantized"))
    yield (
        "Their baseline runs in Keras. Their best has a dynamic-range encoder and a 'quantized' "
        "decoder that holds float32, in a TFLite loop. Their minutes are the decoder alone, so "
        "ours are too in this table; their sizes mix MB and MiB and leave out the words, and they "
        "print the change of BLEU as +7.7 %."
    )
    yield ""
    yield from table_head(
        "", "their MB", "their min, decoder", "their BLEU-1", "MB rebuilt", "min, decoder, rebuilt"
    )
    ours = [_find(record, name) for name in ("seed-keras", "seed-quantized")]
    for label, printed, system in zip(
        ("baseline", "best"), (baseline, quantized), ours, strict=True
    ):
        yield table_row(
            label, f"{printed.size_mb:g}", f"{printed.minutes:g}", f"{printed.bleu_1:.3f}",
            *((megabytes(system.sizes.folder_bytes), _minutes(system, "decoder"))
              if system else (NOT_MEASURED, NOT_MEASURED)),
        )  # fmt: skip
    change = Change.between(baseline, quantized)
    cells = [f"{value:+.1f} %" for value in (change.size, change.time, change.bleu)]
    yield table_row("change", *cells, *_rebuilt_change(ours))
    yield ""
    yield f"BLEU of the rebuilt systems: {NOT_MEASURED}; VGG16's weights cannot be had here."


def _rebuilt_change(ours: Sequence[Measured | None]) -> list[str]:
    before, after = ours
    if before is None or after is None:
        return [NOT_MEASURED] * 2
    change = Change.between(*(
        Headline(1.0, one.sizes.folder_bytes, one.stages_ms["decoder"].median)
        for one in (before, after)
    ))  # fmt: skip
    return [f"{change.size:+.1f} %", f"{change.time:+.1f} %"]


def _systems(record: Record) -> Iterator[str]:
    yield (
        "Random weights: what such a system says means nothing, its deflated size little; size, "
        "time and memory are those of a trained one. 'Apart' is the larger of the relative "
        "differences of features and scores from the float system's."
    )
    yield ""
    yield from table_head(
        "system", "what", "weights", "MB", "MB deflated", "photo, ms", "encoder, ms",
        "decoder, ms", "total, ms", "min, decoder alone", "min, all", "peak MB", "apart",
    )  # fmt: skip
    for one in record.timing.systems if record.timing else ():
        if isinstance(one, Failed):
            yield table_row(one.name, one.title, f"{NOT_MEASURED}: {one.error}", *[""] * 10)
            continue
        stages = (one.stages_ms[stage].median for stage in ("photo", "encoder", "decoder", "total"))
        yield table_row(
            one.name,
            one.title,
            "random" if one.random_weights else "trained",
            megabytes(one.sizes.folder_bytes),
            megabytes(one.sizes.zip_bytes),
            *(f"{value:,.2f}" for value in stages),
            _minutes(one, "decoder"),
            _minutes(one, "total"),
            f"{one.peak_memory_bytes / 1e6:,.0f}",
            f"{max(one.agreement.features, one.agreement.scores):.2g}" if one.agreement else "",
        )


def _rows(record: Record) -> Iterator[str]:
    yield (
        "Their minutes are the decoder alone; ours are given as the decoder alone and with photo "
        "and encoder. Their BLEU has the start and end tokens left in; so has 'BLEU-1, 4, their "
        "way'. Our ResNet50 is cut after its fourth stage. 'PTQ' is matched with our dynamic-range "
        "decoder."
    )
    yield ""
    yield from table_head(
        "encoder", "its compression", "decoder", "their BLEU-1", "BLEU-4", "min, decoder",
        "ours", "BLEU-1, their way", "BLEU-4, their way", "BLEU-4, COCO", "CIDEr", "MB",
        "MB deflated", "min, decoder", "min, all",
    )  # fmt: skip
    for row in published().rows:
        theirs = (*row.key, f"{row.bleu_1:.3f}", f"{row.bleu_4:.3f}", f"{row.minutes:.2f}")
        ours = [one for one in _measured(record) if one.published == row.key]
        if not ours:
            yield table_row(*theirs, NOT_MEASURED, *[""] * 8)
        for one in ours:
            yield table_row(
                *theirs,
                one.name,
                *_quality_cells(_scores(record, one.name)),
                megabytes(one.sizes.folder_bytes),
                megabytes(one.sizes.zip_bytes),
                _minutes(one, "decoder"),
                _minutes(one, "total"),
            )


def _quality_cells(scores: Scored | None) -> list[str]:
    if scores is None:
        return [NOT_MEASURED] * 4
    # Theirs from 0 to 1, as the paper prints it.
    theirs = [f"{scores.theirs[name] / 100:.3f}" for name in ("bleu_1", "bleu_4")]
    return [*theirs, *(f"{scores.coco[name]:.2f}" for name in ("bleu_4", "cider"))]


def _quality(record: Record) -> Iterator[str]:
    quality = record.quality
    if quality is None:
        yield f"{NOT_MEASURED[0].upper()}{NOT_MEASURED[1:]}."
        return
    yield (
        "Their way: unsmoothed corpus BLEU, start and end tokens left in, their cleaning. The COCO "
        "way: PTB tokens, no start or end, in percent. A captioner says something only by what it "
        "scores above the constant caption."
    )
    yield ""
    yield from table_head(
        "captions", "BLEU-1, their way", "BLEU-4, their way",
        "BLEU-1, COCO", "BLEU-4, COCO", "ROUGE-L", "CIDEr",
    )  # fmt: skip
    rows = [("one constant caption", quality.constant_caption)]
    rows += [(bundle.name, bundle.scores) for bundle in quality.bundles]
    for name, scores in rows:
        theirs = (f"{scores.theirs[one] / 100:.3f}" for one in ("bleu_1", "bleu_4"))
        coco = (f"{scores.coco[one]:.2f}" for one in ("bleu_1", "bleu_4", "rouge_l", "cider"))
        yield table_row(name, *theirs, *coco)
    for timed in _measured(record):
        if timed.random_weights:
            yield table_row(f"{timed.name} (random weights)", *[NOT_MEASURED] * 6)
    if quality.differences:
        yield ""
        yield (
            "CIDEr of the second less that of the first, in points, with a 95 % interval: paired "
            f"bootstrap over the photos, {quality.differences[0].resamples:,} resamples."
        )
        yield ""
        yield from table_head("first", "second", "difference (interval)")
        for one in quality.differences:
            yield table_row(one.first, one.second, show_difference(one))


def _goals(record: Record) -> Iterator[str]:
    if record.timing and record.timing.conditions.warnings:
        yield "**From a disturbed run**: measure again before believing a time."
        yield ""
    yield from goal_table(goals(record))


def goal_table(rows: Iterable[Goal]) -> Iterator[str]:
    """Goals, each with what was measured and whether that reaches it."""
    yield from table_head("what", "target", "measured", "reached")
    for goal in rows:
        reached = "yes" if goal.reached else "**no**"
        if goal.measured is None:
            reached = NOT_MEASURED
        yield table_row(goal.what, goal.target, goal.measured or NOT_MEASURED, reached)


def _measured(record: Record) -> Iterable[Measured]:
    systems = record.timing.systems if record.timing else ()
    return (one for one in systems if isinstance(one, Measured))


def _find(record: Record, name: str) -> Measured | None:
    return next((one for one in _measured(record) if one.name == name), None)


def _scores(record: Record, name: str) -> Scored | None:
    bundles = record.quality.bundles if record.quality else ()
    return next((one.scores for one in bundles if one.name == name), None)


def _minutes(system: Measured, stage: str) -> str:
    """For as many samples as the paper's."""
    return f"{system.stages_ms[stage].median * published().samples / _MINUTE_MS:.3g}"
