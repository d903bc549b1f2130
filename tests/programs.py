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
    missing = [program for program in programs if not _is_there(program)]
    if root and os.geteuid():
        missing.append("the rights of root")
    return pytest.mark.skipif(
        bool(missing) and not os.environ.get("CI"), reason=f"there is no {', '.join(missing)}"
    )


def _is_there(program: str) -> bool:
    return CHROMIUM is not None if program == "chromium" else shutil.which(program) is not None
