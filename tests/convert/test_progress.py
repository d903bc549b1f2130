"""Progress is shown where somebody can see it: in a terminal, in a notebook, and nowhere else."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from rich.console import Console
from sklearn.linear_model import LogisticRegression

from tamiz_convert import export
from tamiz_convert.errors import ExportError
from tamiz_convert.progress import shown


@pytest.mark.parametrize("wish", [None, True, False])
def test_nothing_is_shown_where_nobody_looks(wish, capsys):
    with shown(wish) as say:
        say("working", 0.5)
    assert capsys.readouterr() == ("", "")


def test_a_function_of_the_callers_is_called_itself():
    heard = []
    with shown(lambda *told: heard.append(told)) as say:
        say("working", 0.5)
    assert heard == [("working", 0.5)]


@pytest.mark.parametrize(
    ("dumb", "wish", "is_shown"), [(0, None, 1), (0, True, 1), (0, False, 0), (1, None, 0)]
)
def test_a_terminal_has_a_bar_unless_it_is_not_wanted(dumb, wish, is_shown, monkeypatch, capsys):
    monkeypatch.setattr(Console, "is_terminal", property(lambda _self: True))
    monkeypatch.setattr(Console, "is_dumb_terminal", property(lambda _self: bool(dumb)))
    with shown(wish) as say:
        say("fitting the calibrator", 0.5)
    assert ("fitting the calibrator" in capsys.readouterr().err) == bool(is_shown)


class ZMQInteractiveShell:
    """The shell of a notebook's kernel, by its name."""


class Terminal:
    """The shell of IPython in a terminal."""


def notebook(monkeypatch, shell):
    """IPython as far as it is asked; returns what is shown."""
    drawn = []
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell
    display.HTML = str
    display.display = lambda text, display_id: (
        drawn.append(text) or type("Handle", (), {"update": drawn.append})
    )
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return drawn


def test_a_notebook_has_a_bar_that_goes_away_even_after_an_error(monkeypatch):
    drawn = notebook(monkeypatch, ZMQInteractiveShell())
    bar = shown(None)
    bar.__enter__()("<b>fitting</b>", 0.25)
    assert not bar.__exit__(ValueError, ValueError("odd"), None)  # the error goes on
    assert drawn == ["", '<progress value="0.25" max="1"></progress> &lt;b&gt;fitting&lt;/b&gt;', ""]


@pytest.mark.parametrize("shell", [None, Terminal()])
def test_ipython_elsewhere_is_no_notebook(monkeypatch, shell, capsys):
    drawn = notebook(monkeypatch, shell)
    with shown(None) as say:
        say("working", 0.5)
    assert drawn == []
    assert capsys.readouterr() == ("", "")


def test_a_result_is_short_in_a_notebook_and_its_page_opens(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    X = random.normal(size=(900, 2))
    y = np.where(X[:, 0] + random.normal(size=900) > 0, "<yes>", "no")
    model = LogisticRegression().fit(X[:300], y[:300])
    held_out = (X[300:], y[300:])
    drawn = notebook(monkeypatch, ZMQInteractiveShell())
    report = export(model, tmp_path / "m/1", calibration=held_out, threshold=0.8, calibrator="temperature")
    assert any("fitting the calibrator" in each for each in drawn)
    shown_ = report._repr_html_()
    assert "Nothing is promised" in shown_
    assert f"{100 * report.coverage:.1f}%" in shown_
    assert report.threshold == report.manifest.threshold.value == 0.8
    assert len(shown_) < 1500
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    report.open()
    assert opened == [report.page.as_uri()]
    settings = {"calibration": held_out, "threshold": 0.8, "calibrator": "temperature", "progress": False}
    bare = export(model, tmp_path / "m/2", **settings, report=False)
    with pytest.raises(ExportError, match="no report was written"):
        bare.open()
