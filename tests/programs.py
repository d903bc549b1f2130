"""Programs that a test needs and pip does not bring: without them it is skipped, but where CI is set it has
to run.
"""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def needs(*programs: str, root: bool = False) -> pytest.MarkDecorator:
    """A mark for tests that cannot run without these programs, or by anybody but root."""
    return pytest.mark.needs(*programs, root=root)


def skip_if_missing(mark: pytest.Mark) -> None:
    """Skip the test that bears this mark of `needs` if it cannot run here."""
    missing = [program for program in mark.args if not _is_there(program)]
    if mark.kwargs["root"] and os.geteuid():
        missing.append("the rights of root")
    if missing and not os.environ.get("CI"):
        pytest.skip(f"there is no {', '.join(missing)}")


def _is_there(program: str) -> bool:
    return CHROMIUM is not None if program == "chromium" else shutil.which(program) is not None
