"""The page: one file with all it needs, that asks no network for anything.

Charts are drawn by Vega in the browser, whose JavaScript vl-convert brings along; the page forbids
itself every request and every script that it does not hold. Needs the extra `bench`.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecap import image
from edgecap.errors import MissingExtraError
from edgecap_bench.page.charts import charts
from edgecap_bench.table import as_text, shared_rows

if TYPE_CHECKING:
    from edgecap_bench.quality import Shown
    from edgecap_bench.report import Report

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
# Sharp on a phone's screen, and 10 kB.
_THUMBNAIL = (320, 240)
_THUMBNAIL_QUALITY = 75


def check_extra() -> None:
    """Raises MissingExtraError unless what the page is made with is installed."""
    _libraries()


def as_html(report: Report, shown: Sequence[Shown] = (), photos: int = 0) -> str:
    """The page.

    Args:
        report: what was measured.
        shown: photos of its gallery, in its order.
        photos: how many were captioned in all.

    Raises:
        MissingExtraError: if the extra is not installed.
        ImageError: if a photo cannot be read.
    """
    jinja2, alt, vl_convert = _libraries()
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    drawn = charts(report) if report.measured else []
    html: str = template.render(
        report=report,
        scored=any(one.quality for one in report.measured),
        bundles=list(zip(report.labels(), report.measured, strict=True)),
        charts=drawn,
        specifications={chart.name: chart.specification for chart in drawn},
        # In the strings of a script these would end it.
        script=re.sub(
            r"<(?=/script|!--)", r"\\x3c", vl_convert.javascript_bundle(vl_version=version)
        ),
        text="\n".join(as_text(report)),
        row="\n".join(shared_rows(report)),
        gallery=[(one, _thumbnail(one.path)) for one in shown],
        photos=photos,
    )
    return html


def _libraries() -> tuple[Any, Any, Any]:
    try:
        import altair
        import jinja2
        import vl_convert
    except ModuleNotFoundError as error:
        raise MissingExtraError("edgecap bench --html", "bench", str(error.name)) from error
    return jinja2, altair, vl_convert


def _thumbnail(path: Path) -> str:
    """A small JPEG of the photo, as a data URI."""
    picture = image.decode(path, _THUMBNAIL)
    picture.thumbnail(_THUMBNAIL)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_THUMBNAIL_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
