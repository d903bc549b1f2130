"""Takes the README's picture of the report that `make demo` wrote (`make picture`, which needs chromium)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "models/digits/1/report.html"
PICTURE = ROOT / "docs/report.png"

_WIDTH = 900
_MARGIN = 24
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What a reader of the README wants to see first: the promise, its figures, the curve and the slider.
_LEFT_OUT = "nav, #promise { display: none }"
_LAST = "#slider"


def main() -> int:
    """Write the picture; return the exit status."""
    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None or not REPORT.is_file():
        sys.stderr.write("picture.py needs chromium, and the report that `make demo` writes\n")
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        page = browser.new_page(viewport={"width": _WIDTH, "height": 800})
        page.goto(REPORT.as_uri())
        page.add_style_tag(content=_LEFT_OUT)
        last = page.locator(_LAST).bounding_box()
        if last is None:
            raise RuntimeError(f"{REPORT} has no {_LAST}: say in picture.py what ends the picture now")
        height = last["y"] + last["height"] + _MARGIN
        page.screenshot(
            path=PICTURE, full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height}
        )
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
