"""A bar that shows how far a long call is: in a terminal, in a notebook, and nowhere else."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Say = Callable[[str, float], None]
"""Called with the name of a step and the share of the work done before it."""

_BAR: Final = '<progress value="{share:.2f}" max="1"></progress> {step}'


@contextmanager
def shown(wish: Say | bool | None) -> Iterator[Say]:  # noqa: FBT001  the caller's own setting
    """Yield what is to be told of each step.

    Args:
        wish: the caller's own function; False for none; None or True for a bar, if somebody can see it.
    """
    if callable(wish):
        yield wish
    elif wish is False:
        yield _silent
    elif (display := _notebook_display()) is not None:
        with _in_notebook(display) as say:
            yield say
    else:
        with _in_terminal() as say:
            yield say


def _silent(_step: str, _share: float) -> None:
    """Tell nobody."""


@contextmanager
def _in_terminal() -> Iterator[Say]:
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda step, share: bar.update(task, description=step, completed=share)


def _notebook_display() -> Any:
    """Return IPython's display module if this runs in a notebook's kernel, else None."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    return sys.modules.get("IPython.display")


@contextmanager
def _in_notebook(display: Any) -> Iterator[Say]:
    """Show a bar of the browser's own, which needs no widgets, and remove it at the end."""
    handle = display.display(display.HTML(""), display_id=True)
    try:
        yield lambda step, share: handle.update(
            display.HTML(_BAR.format(share=share, step=html.escape(step)))
        )
    finally:
        handle.update(display.HTML(""))
