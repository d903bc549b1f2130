"""Text from data never becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tamiz_convert.report.element import Html, element, join, short


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_any_text_stays_text_in_content_and_attribute(content: str, attribute: str):
    seen = Seen()
    seen.feed(element("p", content, title=attribute))
    seen.close()
    assert seen.tags == ["p"]
    assert seen.text == content
    assert seen.attributes["title"] == attribute


def test_elements_nest_and_other_text_is_escaped():
    inner = element("b", "a < b")
    assert element("p", inner, " & ", ["x", None, 3]) == "<p><b>a &lt; b</b> &amp; x3</p>"


def test_what_a_method_of_str_makes_of_markup_is_escaped_again():
    assert join([Html("<b>").upper()]) == "&lt;B&gt;"
    assert join([Html("<b>") + "<i>"]) == "&lt;b&gt;&lt;i&gt;"


def test_attributes_are_named_as_in_html_and_left_out_where_false():
    made = element("input", class_="a", aria_label="b", hidden=True, checked=False, min=None, step=0.123456)
    assert made == '<input class="a" aria-label="b" hidden step="0.12">'


def test_coordinates_are_short_and_never_minus_zero():
    assert [short(x) for x in (0.0, -0.001, 1.0, 12.346, -3.5, 100.0)] == [
        "0",
        "0",
        "1",
        "12.35",
        "-3.5",
        "100",
    ]
