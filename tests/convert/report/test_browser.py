"""The page in a real Chromium: silent, self-contained, movable, narrow, printed, and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.programs import CHROMIUM, needs

from tamiz_convert.metrics.binomial import upper_bound
from tamiz_convert.report import PAGE_NAME, report_data, report_files

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = needs("chromium")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDER_THAN_PAPER = """[...document.querySelectorAll('table')]
    .filter(table => table.getBoundingClientRect().right > 672.5).map(table => table.caption.textContent)"""
WITH_HIDDEN_COLUMNS = """[...document.querySelectorAll('.scroll')]
    .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.ariaLabel)"""
NAMES = ["cancer_evidence", "digits_evidence", "customers_evidence"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """`show(evidence, width=…)` opens the report; then the console is empty and nothing was requested."""
    heard: list[str] = []
    contexts = []

    def open_page(evidence: Any, width: int = 1100, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url))
        for name, content in report_files(evidence).items():
            (tmp_path / name).write_bytes(content)
        page.goto((tmp_path / PAGE_NAME).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [each for each in heard if each != (tmp_path / "report.html").as_uri()] == []


def slider_says(page: Any) -> list[str]:
    return [
        page.locator(f"#slider-{name}").inner_text() for name in ("threshold", "answered", "error", "bound")
    ]


def computed(evidence: Any, threshold: float) -> list[str]:
    """What the slider must show at a threshold, computed from the rows."""
    rows = evidence.certification
    accepted = rows.probabilities.max(axis=1) >= threshold
    wrong = rows.probabilities.argmax(axis=1) != rows.y
    n, k = int(accepted.sum()), int((accepted & wrong).sum())
    return [
        f"{threshold:.4f}" if threshold < 0.999 else f"{threshold:.6f}",
        f"{100 * n / len(rows.y):.1f}%",
        f"{100 * k / n:.2f}%",
        f"{100 * upper_bound(k, n, 1.0 - 0.9):.2f}%",
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_says_nothing_in_the_console_and_asks_for_nothing(show, request, name, scheme):
    page = show(request.getfixturevalue(name), color_scheme=scheme)
    assert page.locator("h1").is_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)")


def test_the_slider_starts_at_the_exported_threshold(show, cancer_evidence):
    page = show(cancer_evidence)
    assert slider_says(page) == computed(cancer_evidence, cancer_evidence.manifest.threshold.value)
    assert page.locator("#slider-exported").is_visible()
    assert page.locator("#slider-moved").is_hidden()


def test_the_slider_moves_by_keyboard_and_shows_what_the_rows_say(show, cancer_evidence):
    page = show(cancer_evidence)
    points = report_data(cancer_evidence)["thresholds"]["points"]
    at = next(i for i, point in enumerate(points) if point["as_exported"])
    page.locator("#threshold").focus()
    seen = set()
    for step in range(1, 11):
        page.keyboard.press("ArrowLeft")
        threshold = points[at - step]["threshold"]
        assert slider_says(page) == computed(cancer_evidence, threshold)
        is_proven = points[at - step]["proven"]
        said = page.locator("#slider-proven" if is_proven else "#slider-moved")
        assert said.is_visible()
        assert said.inner_text().startswith("Proven too" if is_proven else "A threshold picked here would")
        spoken = page.locator("#threshold").get_attribute("aria-valuetext")
        assert all(word in spoken for word in slider_says(page))
        seen.add(page.locator("#risk-coverage .mark").get_attribute("cx"))
    assert len(seen) == len({each["n_accepted"] for each in points[at - 10 : at]})  # the ring went along
    page.keyboard.press("End")
    assert slider_says(page)[1] == "100.0%"
    page.keyboard.press("Home")
    assert slider_says(page) == computed(cancer_evidence, points[0]["threshold"])
    page.get_by_role("button", name="Back to the exported threshold").click()
    assert page.locator("#slider-exported").is_visible()


def test_the_slider_moves_by_mouse(show, customers_evidence):
    page = show(customers_evidence)
    before = slider_says(page)
    page.locator("#threshold").scroll_into_view_if_needed()
    box = page.locator("#threshold").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2)
    value = int(page.locator("#threshold").input_value())
    threshold = report_data(customers_evidence)["thresholds"]["points"][value]["threshold"]
    assert slider_says(page) == computed(customers_evidence, threshold)
    assert slider_says(page) != before


def test_with_thresholds_per_class_the_slider_starts_at_all_of_them(show, digits_evidence):
    page = show(digits_evidence)
    rows = digits_evidence.certification
    assert slider_says(page)[:2] == ["several", f"{100 * np.mean(rows.accepted):.1f}%"]


def test_a_screen_reader_finds_the_slider_and_the_charts_by_name(show, cancer_evidence):
    page = show(cancer_evidence)
    slider = page.get_by_role("slider", name="Try another threshold")
    assert slider.count() == 1
    charts = page.get_by_role("img")
    assert charts.count() >= 4
    tree = page.locator("body").aria_snapshot()
    assert len(re.findall(r'- img "[^"]+"', tree)) == charts.count()
    assert "- main" in tree
    assert '- navigation "Contents"' in tree


def test_without_javascript_everything_but_the_slider_is_there(show, cancer_evidence):
    page = show(cancer_evidence, java_script_enabled=False)
    assert page.locator("#slider").is_hidden()
    page.get_by_text(re.compile(r"All \d+ thresholds as a table")).click()
    assert page.get_by_role("row").filter(has_text="0.").count() > 20
    assert page.locator("svg").first.is_visible()


@pytest.mark.parametrize("name", NAMES)
def test_a_phone_shows_every_column_and_a_desk_too(show, request, name):
    page = show(request.getfixturevalue(name), width=390)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(WITH_HIDDEN_COLUMNS) == []
    names = page.evaluate("""[...document.querySelectorAll('#slices td')]
        .map(cell => getComputedStyle(cell, '::before').content)""")
    assert names
    assert {'""', "none"}.isdisjoint(names)
    assert (
        page.evaluate(
            "Math.min(...[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width))"
        )
        > 300
    )
    page.set_viewport_size({"width": 1280, "height": 800})
    assert page.evaluate(WITH_HIDDEN_COLUMNS) == []


@pytest.mark.parametrize("name", NAMES)
def test_on_paper_the_slider_is_gone_and_no_table_is_cut(show, request, name, tmp_path):
    page = show(request.getfixturevalue(name), width=672)  # A4 less its margins
    page.emulate_media(media="print")
    assert page.locator("#slider").is_hidden()
    assert page.locator("nav").is_hidden()
    assert page.evaluate(WIDER_THAN_PAPER) == []
    printed = page.pdf(prefer_css_page_size=True)
    width, height = (
        float(size) for size in re.search(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", printed).groups()
    )
    assert (round(width), round(height)) == (595, 842)


def test_a_class_that_looks_like_a_script_is_shown_and_not_run(show, made_evidence):
    evil = "<script>alert(1)</script>"
    page = show(made_evidence(300, 2, [evil, "other"]))
    assert page.get_by_text(evil).first.is_visible()
    assert page.locator("script").count() == 1


def test_long_names_fit_on_a_phone_and_on_paper(show, made_evidence):
    names = [f"a class with quite a long name, number {k}" for k in range(9)] + [
        "Donaudampfschifffahrtsgesellschaft"
    ]
    values = np.array(["a value of a column that takes up a lot of room in a table", "short"] * 300)
    evidence = made_evidence(600, 10, names, {"a column with a long name": values})
    page = show(evidence, width=400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.set_viewport_size({"width": 672, "height": 900})
    page.emulate_media(media="print")
    assert page.evaluate(WIDER_THAN_PAPER) == []
