"""The page as text: well-formed, self-contained, readable by a screen reader, small."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from tests.convert.report.conftest import page_text

from tamiz.v1.manifest_pb2 import Certificate, Promise, Subdivision, SubsetThreshold, Threshold
from tamiz_convert.report.formats import interval, p_value, quantity, share

STYLE = files("tamiz_convert.report").joinpath("page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)
EVIL = "<script>alert(1)</script>"
VOID = {"br", "col", "hr", "input", "link", "meta"}


class Page(HTMLParser):
    """Collects elements with their ancestors, and refuses tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.text: dict[int, str] = {}
        self._at: list[int] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)
            self._at.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._at.pop()

    def handle_data(self, data: str) -> None:
        for at in self._at:
            self.text[at] = self.text.get(at, "") + data

    def all(self, *tags: str) -> list[tuple[int, dict[str, str | None]]]:
        return [(i, attrs) for i, (tag, attrs, _) in enumerate(self.elements) if tag in tags]


@pytest.fixture(scope="session", params=["cancer_evidence", "digits_evidence", "customers_evidence"])
def text(request) -> str:
    return page_text(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def page(text) -> Page:
    return Page(text)


def test_headings_are_in_order_and_each_has_words(page):
    headings = page.all("h1", "h2", "h3", "h4", "h5", "h6")
    levels = [int(page.elements[i][0][1]) for i, _ in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(page.text[i].strip() for i, _ in headings)


def test_there_are_landmarks_and_a_language(page):
    assert (
        len(page.all("main"))
        == len(page.all("nav"))
        == len(page.all("header"))
        == len(page.all("footer"))
        == 1
    )
    assert page.all("html")[0][1]["lang"] == "en"
    assert page.text[page.all("title")[0][0]]


def test_ids_are_unique_and_every_reference_leads_somewhere(page):
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        named = [attrs.get(name) or "" for name in ("aria-labelledby", "aria-describedby", "for")]
        linked = [attrs["href"][1:]] if (attrs.get("href") or "").startswith("#") else []
        assert set(" ".join(named).split()) | set(linked) <= set(ids)


def test_every_chart_has_a_name_and_a_description(page):
    charts = page.all("svg")
    assert len(charts) >= 4
    for i, attrs in charts:
        assert attrs["role"] == "img"
        inside = [j for j, _ in page.all("title", "desc") if i < j <= i + 2]
        assert len(inside) == 2
        assert all(page.text[j].strip() for j in inside)


def test_every_table_has_a_caption_and_headed_rows_and_columns(page):
    tables = page.all("table")
    assert len(page.all("caption")) == len(tables) >= 5
    for _, attrs in page.all("th"):
        assert attrs["scope"] in {"row", "col"}
    boxes = [attrs for _, attrs in page.all("div") if "scroll" in (attrs.get("class") or "").split()]
    assert len(boxes) == len(tables)
    assert all(box["tabindex"] == "0" and box["aria-label"] and box["role"] == "region" for box in boxes)


def test_nothing_is_loaded_from_anywhere(text, page):
    assert not page.all("link", "img", "iframe", "object", "embed")
    assert all("src" not in attrs for _, attrs, _ in page.elements)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_what_comes_from_data_is_text(made_evidence):
    slices = {EVIL: np.array([EVIL, '"><img src=x onerror=alert(1)>'] * 100)}
    evidence = made_evidence(200, 3, [EVIL, "a & b", "'\"`"], slices)
    evidence.manifest.name = EVIL
    evidence.manifest.estimator = EVIL
    evidence.manifest.threshold.not_certified = EVIL
    page = Page(page_text(evidence))
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert "alert" not in page.text[page.all("script")[0][0]]
    assert page.text[page.all("h1")[0][0]] == EVIL


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [
        (
            Threshold(
                value=0.8,
                certificate=Certificate(
                    max_error=0.3, confidence_level=0.9, promise=Promise.PROMISE_JOINT_ERROR
                ),
            ),
            "≤ 30%",
        ),
        (
            Threshold(
                value=0.8,
                certificate=Certificate(
                    min_coverage=0.4, confidence_level=0.9, promise=Promise.PROMISE_COVERAGE
                ),
            ),
            "≥ 40%",
        ),
        (
            Threshold(
                value=0.8,
                certificate=Certificate(max_error=0.3, confidence_level=0.9),
                subdivision=Subdivision.SUBDIVISION_SLICE,
                slice_input="region",
                subsets=[
                    SubsetThreshold(name="north", value=0.7, certificate=Certificate(max_error=0.3)),
                    SubsetThreshold(name="south", value=2.0, not_certified="too few rows"),
                ],
            ),
            "For each of 1 out of 2 values of region",
        ),
        (
            Threshold(
                value=0.8,
                not_certified="no subset could be certified",
                subdivision=Subdivision.SUBDIVISION_PREDICTED_CLASS,
                subsets=[SubsetThreshold(name="class 0", value=0.8, not_certified="too few rows")],
            ),
            "Nothing is promised",
        ),
        (Threshold(value=2.0, not_certified="too few rows"), "The threshold is above every confidence."),
    ],
)
def test_every_kind_of_promise_has_its_page(made_evidence, threshold, shown):
    evidence = made_evidence(300, 3, slices={"region": np.array(["north", "south", "west"] * 100)})
    evidence.manifest.threshold.CopyFrom(threshold)
    text = page_text(evidence)
    Page(text)
    assert shown in text


def test_without_a_calibrator_nothing_is_drawn_twice(made_evidence):
    evidence = made_evidence(300, 3)
    with_calibrator = page_text(evidence)
    evidence.manifest.calibrator.method = "none"
    text = page_text(evidence)
    assert "Without the calibrator" in with_calibrator
    assert "Without the calibrator" not in text
    assert "Dashed: without the calibrator" not in text
    assert text.count("<svg") == with_calibrator.count("<svg") - 1
    assert "The model&#x27;s own confidence" in text


def test_numbers_are_rounded_as_people_read_them():
    assert p_value(1.2e-22) == "< 0.0001"
    assert p_value(0.0243471) == "0.0243"
    assert interval((0.01, 0.034)) == "1.0–3.4%"
    assert interval((0.99963, 1.0)) == "99.96–100.00%"
    shown = {
        20000.0: "20,000",
        1e6: "1,000,000",
        153.27: "153.3",
        0.0286: "0.0286",
        6.7e-8: "0.000000067",
        1e-12: "less than 0.000000001",
        -0.5: "−0.5",
    }
    assert {value: quantity(value) for value in shown} == shown
    assert (quantity(0.0), quantity(None)) == ("0", "–")
    assert [share(x) for x in (0.9073, 0.8, 1e-6, 1.0, None)] == ["90.73%", "80%", "0.0001%", "100%", "–"]


def test_many_rows_and_classes_stay_below_two_megabytes(made_evidence):
    values = np.array([f"value {k}" for k in range(400)] * 50)
    text = page_text(made_evidence(20_000, 100, slices={"many": values, "more": values[::-1]}))
    Page(text)
    assert len(text.encode()) < 2_000_000
    assert "300 values are left out" in text


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_the_guidelines_do():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_light_and_dark_name_the_same_colors():
    assert len(LIGHT) == 11
    assert LIGHT.keys() == DARK.keys()


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize("ground", ["paper", "panel", "wash", "tint"])
def test_text_and_marks_stand_out_from_what_is_behind_them(palette, ground):
    for role in ("ink", "quiet", "accent", "caution", "alarm"):
        assert contrast(palette[role], palette[ground]) >= 4.5, (role, ground)
    if ground not in {"wash", "tint"}:
        assert contrast(palette["edge"], palette[ground]) >= 3.0


def test_every_color_in_the_style_is_one_of_the_palette(text):
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert set(re.findall(r"#[0-9a-f]{6}", style)) == set(LIGHT.values()) | set(DARK.values())
    assert set(re.findall(r"var\(--([a-z]+)\)", style)) <= set(LIGHT)
