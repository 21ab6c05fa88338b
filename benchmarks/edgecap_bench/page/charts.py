"""The charts of a report, as Vega-Lite specifications. Needs altair, from the extra `bench`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from edgecap_bench.report import Measured, Report

Rows: TypeAlias = "list[dict[str, Any]]"

# Those that add up to a caption.
_PARTS = ("decode", "resize", "encoder", "decoder")
# Of Okabe and Ito (2008), told apart by all eyes and on light and dark ground alike.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
_WORSE_TO_BETTER = ("#e69f00", "#0072b2")
_ROW_HEIGHT, _HEIGHT = 34, 300
# A distribution is drawn through so many points at most.
_POINTS = 200


class Chart(NamedTuple):
    """One chart: an id in the page, a heading, how to read it, and what Vega-Lite reads."""

    name: str
    title: str
    reading: str
    specification: dict[str, Any]


def charts(report: Report) -> list[Chart]:
    """All charts of a report with at least one measured bundle."""
    bundles = list(zip(report.labels(), report.measured, strict=True))
    scored = all(one.quality is not None for one in report.measured)
    return [
        Chart(
            "stages",
            "Where the time goes",
            "Medians of the timed captions, stage by stage.",
            _stages(bundles),
        ),
        Chart(
            "latency",
            "How long a caption takes",
            "The share of captions that were done within so many milliseconds: the steeper, the "
            "steadier. Half are done at 50 %, all but the slowest tenth at 90 %.",
            _latency(bundles),
        ),
        Chart(
            "trade",
            "Size against time" + (" against quality" if scored else ""),
            "The lower left is small and fast."
            + (" The bluer, the better its captions, by their CIDEr." if scored else ""),
            _trade(bundles, scored),
        ),
    ]


_Bundles: TypeAlias = "Sequence[tuple[str, Measured]]"


def _stages(bundles: _Bundles) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"bundle": label, "stage": stage, "order": order, "ms": one.stages_ms[stage].median}
        for label, one in bundles
        for order, stage in enumerate(_PARTS)
    ]
    labels = [label for label, _ in bundles]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("ms:Q", title="ms"),
            y=alt.Y("bundle:N", title=None, sort=labels),
            color=alt.Color("stage:N", title=None, sort=_PARTS, scale=_scale(_PARTS)),
            order="order:Q",
            tooltip=["bundle:N", "stage:N", alt.Tooltip("ms:Q", format=",.3f")],
        )
    )
    return _finished(chart, _ROW_HEIGHT * len(labels) + 10)


def _latency(bundles: _Bundles) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"bundle": label, "ms": milliseconds, "share": share}
        for label, one in bundles
        for milliseconds, share in shares(one.totals_ms)
    ]
    labels = [label for label, _ in bundles]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=alt.X("ms:Q", title="ms", scale=alt.Scale(zero=False, nice=True)),
            y=alt.Y("share:Q", title="captions", axis=alt.Axis(format="%")),
            color=alt.Color("bundle:N", title=None, sort=labels, scale=_scale(labels)),
            tooltip=[
                "bundle:N",
                alt.Tooltip("ms:Q", format=",.3f"),
                alt.Tooltip("share:Q", format=".0%"),
            ],
        )
    )
    return _finished(chart, _HEIGHT)


def shares(times: Iterable[float]) -> Iterator[tuple[float, float]]:
    """Points (time, share of the times up to it) from 0 to 1, thinned to `_POINTS`."""
    ordered = sorted(times)
    yield ordered[0], 0.0
    step = max(1, len(ordered) // _POINTS)
    places = [*range(step, len(ordered), step), len(ordered)]
    yield from ((ordered[place - 1], place / len(ordered)) for place in places)


def _trade(bundles: _Bundles, scored: bool) -> dict[str, Any]:
    import altair as alt

    rows: Rows = [
        {
            "bundle": label,
            "name": f"{label}: {one.quality.bundle['cider']:.1f}" if one.quality else label,
            "MB": one.sizes.folder_bytes / 1e6,
            "ms": one.stages_ms["total"].median,
            "CIDEr": one.quality.bundle["cider"] if one.quality else None,
            "floor": one.quality.constant_caption["cider"] if one.quality else None,
        }
        for label, one in bundles
    ]
    labels = [label for label, _ in bundles]
    colour = (
        alt.Color("CIDEr:Q", scale=alt.Scale(range=_WORSE_TO_BETTER))
        if scored
        else alt.Color("bundle:N", title=None, sort=labels, scale=_scale(labels))
    )
    fields = ("MB:Q", "ms:Q", *(("CIDEr:Q", "floor:Q") if scored else ()))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("MB:Q", title="all files, MB (10^6 bytes)"),
        y=alt.Y("ms:Q", title="a caption, ms (median)", scale=alt.Scale(padding=20)),
        tooltip=["bundle:N", *(alt.Tooltip(field, format=",.2f") for field in fields)],
    )
    points = base.mark_point(filled=True, size=160, opacity=1).encode(color=colour)
    # Names lie to the side where there is room for them.
    middle = max(row["MB"] for row in rows) / 2
    for row in rows:
        left = row["MB"] > middle
        row["left"], row["right"] = (row["name"], "") if left else ("", row["name"])
    names = [
        base.mark_text(align=align, dx=dx, dy=-12, limit=260).encode(text=f"{side}:N")
        for side, align, dx in (("right", "left", -4), ("left", "right", 4))
    ]
    return _finished(alt.layer(points, *names), _HEIGHT)


def _scale(names: Iterable[str]) -> Any:
    import altair as alt

    domain = list(names)
    colours = [COLOURS[place % len(COLOURS)] for place in range(len(domain))]
    return alt.Scale(domain=domain, range=colours)


def _finished(chart: Any, height: int) -> dict[str, Any]:
    """As wide as the page lets it be."""
    specification: dict[str, Any] = chart.properties(width="container", height=height).to_dict()
    return specification
