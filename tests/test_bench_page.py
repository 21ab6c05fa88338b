"""`edgecap bench --html`: the page as a browser shows it."""

from __future__ import annotations

import dataclasses
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageColor

from edgecap.cli import main
from edgecap_bench import session
from edgecap_bench.page.charts import COLOURS, shares
from edgecap_bench.page.document import as_html
from edgecap_bench.quality import Said, Shown
from edgecap_bench.report import Failed, Quality, Report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
# What people call their bundles must not become part of the page.
HOSTILE = "<b>fast</b></script>"
CHARTS = ("stages", "latency", "trade")
BUNDLES = 2


@pytest.fixture(scope="module")
def gallery(photos: list[Path]) -> list[Shown]:
    return [
        Shown(path, ("A red circle .", "<i>Red</i>"), (Said("a dog", cider), Said("a cat", 9.0)))
        for path, cider in zip(photos[:3], (0.0, 12.4, 88.0), strict=True)
    ]


@pytest.fixture(scope="module")
def full(report: Report) -> Report:
    """Two bundles with quality, one that failed, and other work."""
    (one,) = report.measured
    scores = dict.fromkeys(("bleu_1", "bleu_4", "rouge_l", "cider"), 8.5)
    quality = Quality("corpus", "dev", 12, {**scores, "cider": 57.0}, scores)
    larger = dataclasses.replace(one.sizes, folder_bytes=3 * one.sizes.folder_bytes)
    bundles = (
        dataclasses.replace(one, quality=quality),
        dataclasses.replace(one, name=HOSTILE, sizes=larger, quality=quality),
        Failed("broken.edgecap", "broken.edgecap: encoder.tflite was changed"),
    )
    conditions = dataclasses.replace(report.conditions, warnings=("under-voltage",))
    return dataclasses.replace(report, conditions=conditions, bundles=bundles)


@pytest.fixture(scope="module")
def page_file(full: Report, gallery: list[Shown], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(as_html(full, gallery, 12), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, timeout=120_000)
        yield browser
        browser.close()


class Opened(NamedTuple):
    """A page, and everything that went wrong or out of it."""

    page: Page
    complaints: list[str]
    requests: list[str]

    def number(self, expression: str) -> float:
        return float(self.page.evaluate(expression))

    def wait(self, expression: str) -> None:
        """Until it is true; asked from here, as the page forbids itself `eval`."""
        for _ in range(600):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(100)
        pytest.fail(f"never true: {expression}")


def opened(browser: Browser, path: Path, width: int, scheme: str) -> Opened:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(120_000)
    found = Opened(page, [], [])
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(path.as_uri())
    for name in CHARTS:
        page.wait_for_selector(f"#{name} svg")
    return found


def pixels(picture: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(np.int16)


@needs_browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (360, "dark")])
def test_charts_are_drawn_and_nothing_is_asked_for(
    width: int, scheme: str, browser: Browser, page_file: Path
) -> None:
    found = opened(browser, page_file, width, scheme)
    page = found.page
    try:
        assert found.complaints == []
        assert [url for url in found.requests if not url.startswith("data:")] == [
            page_file.as_uri()
        ]
        assert page.locator("#stages .mark-rect path").count() == 4 * BUNDLES
        assert page.locator("#latency .mark-line path").count() == BUNDLES
        assert page.locator("#trade .mark-symbol.role-mark path").count() == BUNDLES
        # A bar of every stage, as it is painted.
        painted = pixels(page.locator("#stages svg").screenshot())
        for colour in COLOURS[:4]:
            distance = np.abs(painted - ImageColor.getrgb(colour)).max(axis=-1)
            assert (distance < 12).sum() > 20, colour
        ground = pixels(page.screenshot())[0, 0]
        assert (ground.mean() < 60) == (scheme == "dark")
        assert found.number("document.documentElement.scrollWidth") <= width
        for name in CHARTS:
            box = page.locator(f"#{name} svg").bounding_box()
            assert box is not None
            assert 0.6 * width < box["width"] <= width
    finally:
        page.close()


@needs_browser
def test_charts_follow_light_and_dark(browser: Browser, page_file: Path) -> None:
    found = opened(browser, page_file, 1200, "light")
    try:
        text = "document.querySelector('#latency .role-legend text')?.getAttribute('fill')"
        light = found.page.evaluate(text)
        found.page.emulate_media(color_scheme="dark")
        found.wait(f"{text} !== {light!r}")
        assert found.complaints == []
    finally:
        found.page.close()


@needs_browser
def test_a_single_bundle_is_drawn_too(browser: Browser, report: Report, tmp_path: Path) -> None:
    page_file = tmp_path / "page.html"
    page_file.write_text(as_html(report), encoding="utf-8")
    found = opened(browser, page_file, 1200, "light")
    try:
        assert found.complaints == []
        assert found.page.locator("#trade .mark-symbol.role-mark path").count() == 1
        assert found.page.locator("#trade .mark-text.role-mark text", has_text="tiny").count() == 1
    finally:
        found.page.close()


@needs_browser
def test_what_the_page_says(browser: Browser, page_file: Path, full: Report) -> None:
    found = opened(browser, page_file, 1200, "light")
    page = found.page
    try:
        assert page.locator("b, i").count() == 0
        rows = page.locator("#bundles tr").all_inner_texts()
        assert len(rows) == 1 + BUNDLES
        assert HOSTILE in rows[2]
        assert "57.0 (8.5)" in rows[1]
        warnings = page.locator(".warning").all_inner_texts()
        assert "under-voltage" in warnings[0]
        assert "encoder.tflite was changed" in warnings[1]
        assert full.conditions.machine.cpu in page.locator("#row").inner_text()
        assert page.locator("text=3 of 12 photos").count() == 1
        cards = page.locator(".photo")
        assert cards.count() == 3
        firsts = [cards.nth(place).locator(".score").first.inner_text() for place in range(3)]
        assert firsts == ["0", "12", "88"]
        assert "<i>Red</i>" in cards.first.inner_text()
        found.wait("[...document.images].every(one => one.complete)")
        assert found.number("Math.min(...[...document.images].map(one => one.naturalWidth))") == 96
    finally:
        page.close()


def test_the_page_is_one_file(page_file: Path) -> None:
    assert page_file.stat().st_size < 2_500_000


def test_shares_of_a_distribution() -> None:
    assert list(shares([3.0, 1.0])) == [(1.0, 0.0), (1.0, 0.5), (3.0, 1.0)]
    many = list(shares(range(10_000)))
    assert len(many) < 250
    assert many[-1] == (9_999, 1.0)


def test_a_report_without_bundles(full: Report) -> None:
    empty = dataclasses.replace(full, bundles=full.bundles[2:])
    page = as_html(empty)
    assert "encoder.tflite was changed" in page
    assert "<figure>" not in page


def test_the_extra_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.setattr(session, "carry_out", None)
    assert main(["bench", "--html", "page.html"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pip install 'edgecap[bench]'" in err
    assert err.count("\n") == 1


def test_a_page_that_cannot_be_written(
    full: Report,
    gallery: list[Shown],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(session, "carry_out", lambda *_: (full, gallery))
    assert main(["bench", "--html", str(tmp_path / "no" / "page.html"), "--gallery", "0"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("| ")
    assert f"--html {tmp_path}" in err
