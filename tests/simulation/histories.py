"""Draws histories: what operators, callers and bad luck do, from a seed."""

from __future__ import annotations

import math
from random import Random

from tests.simulation.disk import ALWAYS, Bundle, Release, Wish
from tests.simulation.world import Event

STYLES = ("swap", "recopy", "stage", "edit", "edit-last")
AFTER_S = (0.01, 0.1, 0.5, 1.2, 2.5, 4.0)


def history(seed: int) -> list[Event]:
    """Return a history. Of its events, any can be left out."""
    return _Author(Random(seed)).write()


class _Author:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._n_bundles = 0
        self._last = {"m": Release(), "o": Release()}

    def write(self) -> list[Event]:
        events: list[Event] = [
            (0.0, "release", name, self._release(name, first=True), "swap", 0.0) for name in ("o", "m")
        ]
        for _ in range(self._random.randint(6, 18)):
            kind = self._random.choices(
                (self._operate, self._ask, self._burst, self._go_wrong), weights=(4, 5, 1, 1)
            )[0]
            events += kind()
        return events

    def _later(self, *event: object) -> list[Event]:
        return [(self._random.choice(AFTER_S), *event)]

    def _operate(self) -> list[Event]:
        if self._random.random() < 0.1:
            return self._later("hang_up")
        name = self._random.choice("mmmo")
        style = self._random.choice(STYLES)
        gap_s = self._random.choice((0.03, 0.2, 0.45))
        return self._later("release", name, self._release(name), style, gap_s)

    def _release(self, name: str, *, first: bool = False) -> Release:
        """Return a release that differs from the last one, a little or altogether."""
        random, versions = self._random, dict(self._last[name].versions)
        if random.random() < 0.07 and name == "m" and not first:
            versions = {}
        elif random.random() < 0.25 and len(versions) > 1:
            del versions[random.choice(sorted(versions))]
        else:
            for version in random.sample((1, 2, 3), random.choice((1, 1, 2))):
                versions[version] = self._bundle(good=name == "o")
        wish = self._last[name].wish
        if first or random.random() < 0.6:
            wish = self._wish()
        self._last[name] = release = Release(tuple(sorted(versions.items())), wish)
        return release

    def _bundle(self, *, good: bool) -> Bundle:
        self._n_bundles += 1
        fails = 0 if good else self._random.choice((0, 0, 0, 0, 1, 3, ALWAYS))
        return Bundle(self._n_bundles, self._random.choice(("ab", "ab", "ba")), fails)

    def _wish(self) -> Wish | None:
        random = self._random
        if random.random() < 0.3:
            return None
        return Wish(
            serve=random.choice(("", "all", "latest", "latest:2")),
            stable=random.choice((0, 1, 2, 3)),
            shadow=random.choice((0, 0, 2, 3)),
            batch=random.choice((0, 0, 4)),
            fails=random.choice((0,) * 8 + (1, 2, ALWAYS)),
        )

    def _ask(self) -> list[Event]:
        random = self._random
        version, label = random.choice(((0, ""), (0, ""), (0, "stable"), (1, ""), (2, "")))
        n_rows, timeout_s = random.choice((1, 3, 8, 20)), random.choice((math.inf, 0.5, 0.01, 0.0))
        who = random.choice(("", "", "", "", "low", "poison"))
        return self._later("ask", random.choice("mmo"), version, label, n_rows, timeout_s, who)

    def _burst(self) -> list[Event]:
        random = self._random
        timeout_s = random.choice((math.inf, 0.05))
        return self._later("burst", "o", random.choice((5, 30)), random.choice((1, 3)), timeout_s)

    def _go_wrong(self) -> list[Event]:
        random = self._random
        for_s = random.choice((0.3, 2.2, 5.0))
        if random.random() < 0.5:
            return self._later("away", random.choice(("", "m")), for_s)
        failing = random.choices(("", "poison"), k=random.randint(2, 5))
        return [
            *self._later("sicken", "o", for_s),
            *((0.1, "ask", "o", 0, "", 2, math.inf, who) for who in failing),
        ]
