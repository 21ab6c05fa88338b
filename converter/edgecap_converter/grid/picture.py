"""A grid's results as a picture: size against time, coloured by quality."""

import io
from collections.abc import Sequence
from typing import Any, TypeAlias

from edgecap_converter.grid.result import GridResult
from edgecap_converter.grid.table import Value, row_values

MARKERS = "osD^vPX*<>hp"
# Element ids of the picture begin with this, one group of points for each pair of halves.
POINTS = "rows-"
_INCHES = (9.0, 6.0)
# From here on the largest of an axis is so much larger than the smallest that the axis is curved.
LARGEST_LINEAR = 4.0
# Width and height of a short label, in pixels.
NEAR = (48.0, 14.0)

Values: TypeAlias = "dict[str, Value]"
Point: TypeAlias = tuple[float, float]


def as_svg(result: GridResult) -> bytes:
    """The picture of all rows that were made and timed, each with its number in the table.

    The same bytes for the same result and version of matplotlib.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = [row for row in row_values(result) if "caption_ms" in row]
    # Without a salt its ids are drawn at random; text as text can be searched.
    with matplotlib.rc_context({"svg.hashsalt": "edgecap", "svg.fonttype": "none"}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(f"Grid {result.grid}: size, time, quality", parse_math=False)
        axes.set_xlabel("size as one zip file, MB (10^6 bytes)")
        axes.set_ylabel("photo to caption, ms")
        if rows:
            _draw(figure, axes, rows)
        else:
            axes.text(0.5, 0.5, "no row could be measured", ha="center", transform=axes.transAxes)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def _draw(figure: Any, axes: Any, rows: Sequence[Values]) -> None:
    points = [(_number(row["zip_bytes"]) / 1e6, _number(row["caption_ms"])) for row in rows]
    scores = [_number(row["cider"]) for row in rows]
    floor = _number(rows[0]["constant_cider"])
    pairs = [f"{row['encoder']}, {row['decoder']}" for row in rows]
    for index, pair in enumerate(dict.fromkeys(pairs)):
        chosen = [place for place, one in enumerate(pairs) if one == pair]
        drawn = axes.scatter(
            *zip(*(points[place] for place in chosen), strict=True),
            c=[scores[place] for place in chosen],
            marker=MARKERS[index % len(MARKERS)],
            vmin=min(floor, *scores),
            vmax=max(floor, *scores),
            s=60,
            edgecolors="black",
            linewidths=0.5,
            label=pair,
            gid=f"{POINTS}{index}",
        )
    _scale(axes.xaxis, axes.set_xscale, [x for x, _ in points])
    _scale(axes.yaxis, axes.set_yscale, [y for _, y in points])
    axes.grid(alpha=0.3)
    axes.margins(0.1)
    for (x, y), numbers in _near(axes, points).items():
        label = ", ".join(str(rows[place]["row"]) for place in numbers)
        axes.annotate(
            label, (x, y), xytext=(6, 6), textcoords="offset points", fontsize="small"
        )  # fmt: skip
    axes.legend(title="numbers: rows of the table", fontsize="small")
    figure.colorbar(drawn, ax=axes, label="CIDEr on dev, up from that of a constant caption")


def _scale(axis: Any, set_scale: Any, values: Sequence[float]) -> None:
    """Logarithmic where that is needed to tell small ones apart, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if max(values) < LARGEST_LINEAR * min(values):
        return
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _near(axes: Any, points: Sequence[Point]) -> dict[Point, list[int]]:
    """Places of points too near each other for a label each, by the first of them."""
    groups: dict[Point, list[int]] = {}
    for place, point in enumerate(points):
        x, y = axes.transData.transform(point)
        for first, group in groups.items():
            first_x, first_y = axes.transData.transform(first)
            if abs(x - first_x) < NEAR[0] and abs(y - first_y) < NEAR[1]:
                group.append(place)
                break
        else:
            groups[point] = [place]
    return groups


def _number(value: Value) -> float:
    """A value that is known to be a number."""
    assert isinstance(value, (int, float))
    return float(value)
