"""A server, its operators, its callers and its disk, on one made-up clock. The events decide all of it.

    events ──► Folders ──look──► Lifecycle ──commit──► Registry, engines ◄── callers
                                     │                      │
                                     └────── Expected ──────┴── says what is wrong

`World` does what `reloader` and `publisher` do between the pure parts, without threads, files and sockets.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from tests.simulation.disk import ALWAYS, SETTINGS, Bundle, Folders, Release, Wish
from tests.simulation.engine import Ask, Engine
from tests.simulation.served import Expected, State

from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.errors import InputsChanged, ModelNotFound, TamizError, Unavailable
from tamiz_server.repository.lifecycle import SETTLE_S, Content, Key, Lifecycle
from tamiz_server.repository.load_room import LoadRoom
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.served import Registry

MODELS = ("m", "o")
POLL_S = 2.0
MOST_STEPS = 5_000
LOAD_S = (0.05, 0.4, 1.3, 3.0)
Event = tuple[Any, ...]
"""When it happens, in seconds after the one before; the method of `World` that it is; what that is given."""


class World:
    """Everything there is."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sick: set[str] = set()
        self.asks: list[Ask] = []
        self.disk = Folders()
        self.expected: dict[str, Expected] = defaultdict(Expected)
        self._todo: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._lifecycle = Lifecycle(VersionPolicy())
        self._room = LoadRoom(2, 10**9)
        self._readiness = Readiness()
        self._registry = Registry(self._readiness)
        self._engines: dict[Key, Engine] = {}
        self._all_engines: list[Engine] = []
        self._staged: dict[Key, tuple[Bundle, int]] = {}
        self._loading: set[Key] = set()
        self._tries: dict[object, int] = defaultdict(int)
        self._releases: dict[str, deque[tuple[str, Release, float]]] = defaultdict(deque)
        self._copying: set[str] = set()
        self._known: dict[tuple[str, str], str] = {}
        self._look_s = math.inf
        self._n_done = 0

    def run(self, events: Sequence[Event]) -> None:
        """Let it all happen, then wait until nothing more happens; AssertionError if anything was wrong."""
        for _, event, *given in [each for each in events if each[0] == 0.0]:
            getattr(self, event)(*given)
        self._look(patient=False)
        for after_s, event, *given in events:
            if after_s:
                self._pass(after_s)
                getattr(self, event)(*given)
        self._rest()

    def at(self, after_s: float, do: Callable[[], None]) -> None:
        """Have something done later."""
        heapq.heappush(self._todo, (self.now_s + after_s, next(self._order), do))

    # What operators do.

    def release(self, name: str, release: Release, style: str, gap_s: float) -> None:
        """Put a release in a model's folder, after the one before is there; each step of it takes a while."""
        self._releases[name].append((style, release, gap_s))
        if name not in self._copying:
            self._next_release(name)

    def hang_up(self) -> None:
        """Send SIGHUP, unless a copy is under way: an operator knows better."""
        if not any(self._releases.values()) and not self._copying:
            self._lifecycle.try_again()
            self._look(patient=False)

    # What goes wrong.

    def away(self, name: str, for_s: float) -> None:
        """Make a model's folder unreadable for some time; the whole repository if it has no name."""
        self.disk.away.add(name)
        self.at(for_s, lambda: self.disk.away.discard(name))

    def sicken(self, name: str, for_s: float) -> None:
        """Have all versions of a model fail on all requests for some time."""
        self.sick.add(name)
        self.at(for_s, lambda: self.sick.discard(name))

    # What callers do.

    def ask(self, name: str, version: int, label: str, n_rows: int, timeout_s: float, who: str = "") -> None:
        """Ask for a prediction, with rows for the columns that the caller saw last.

        `who` is "low" for a request of low priority, and "poison" for rows on which the model fails.
        """
        which = (name, f"{version}{label}")
        ask: Ask | None = None
        try:
            served = self._registry.find(name, version, label)
            columns = self._known.setdefault(which, served.inputs_digest)
            ask = Ask(
                n_rows,
                columns,
                deadline_s=self.now_s + timeout_s,
                low_priority=who == "low",
                poison=who == "poison",
            )
            served.require_inputs(columns)
        except InputsChanged:
            del self._known[which]
        except ModelNotFound:
            self._require_absent(name, version, label)
        except Unavailable:
            assert not self._readiness.ready, "a server that is ready refuses a request as if it were not"
        else:
            self.asks.append(ask)
            served.engine.ask(ask)

    def burst(self, name: str, n: int, n_rows: int, timeout_s: float) -> None:
        """Ask many times at once."""
        for number in range(n):
            self.ask(name, 0, "", n_rows, timeout_s, "low" if number % 5 == 4 else "")

    def _require_absent(self, name: str, version: int, label: str) -> None:
        """Require that what is NOT_FOUND is not in force."""
        state = self.expected[name].state
        assert label or version or not state.default, f"{name} is NOT_FOUND"
        assert version not in state.served, f"{name}/{version} is NOT_FOUND"
        assert label not in state.labels, f"{name}/{label} is NOT_FOUND"

    # Time.

    def _pass(self, for_s: float) -> None:
        until_s = self.now_s + for_s
        while self._todo and self._todo[0][0] <= until_s:
            self.now_s, _, do = heapq.heappop(self._todo)
            do()
            self._n_done += 1
            assert self._n_done < MOST_STEPS, "it never comes to rest"
        self.now_s = until_s

    def _rest(self) -> None:
        """Wait until nothing happens any more; require that the last releases are in force, for everybody."""
        n_quiet = 0
        while n_quiet < 2:  # looks
            self._pass(POLL_S)
            lifecycle = self._lifecycle
            waits = lifecycle.is_unsettled() or lifecycle.again_s() < math.inf
            busy = self._loading or self._copying or self.disk.away or self.sick
            n_quiet = 0 if waits or busy else n_quiet + 1
        for expected in self.expected.values():
            expected.check_at_rest()
        last = [Ask(1, engine.bundle.columns) for engine in self._engines.values()]
        for ask, engine in zip(last, self._engines.values(), strict=True):
            engine.ask(ask)
        self._pass(POLL_S)
        assert all(ask.ends == ["OK"] for ask in last), "a model that works does not answer"
        assert all(engine.idle for engine in self._all_engines), "an engine never ends"
        for ask in self.asks:
            assert len(ask.ends) == 1, f"a request ended {len(ask.ends)} times: {ask.ends}"

    # The operator's hands.

    def _next_release(self, name: str) -> None:
        if self._releases[name]:
            style, release, gap_s = self._releases[name].popleft()
            self._copying.add(name)
            self._step(name, release, self.disk.put(name, release, style), gap_s)

    def _step(self, name: str, release: Release, steps: Iterator[None], gap_s: float) -> None:
        try:
            next(steps)
        except StopIteration:
            self._copying.discard(name)
            self.expected[name].releases.append(release)
            self.at(gap_s, lambda: name in self._copying or self._next_release(name))
        else:
            self.at(gap_s, lambda: self._step(name, release, steps, gap_s))

    # The server: what `reloader` does.

    def _look(self, *, patient: bool = True) -> None:
        self._lifecycle.look(self.disk.look(), self.now_s, patient=patient)
        self._settle()
        self._plan_look()

    def _plan_look(self) -> None:
        """Look next when `Reloader` would."""
        pause_s = SETTLE_S if self._lifecycle.is_unsettled() else POLL_S
        retry_s = self._lifecycle.again_s() - self.now_s
        if retry_s > 0.0 or not self._loading:
            pause_s = min(pause_s, max(retry_s, 0.05))
        self._look_s = look_s = self.now_s + pause_s
        self.at(pause_s, lambda: self._look_s == look_s and self._look())

    def _settle(self) -> None:
        lifecycle = self._lifecycle
        changed = lifecycle.to_read(self.now_s)
        for name in changed:
            self._read(name)
        for key in reversed(lifecycle.to_load(self.now_s)):
            content = lifecycle.content(key)
            if key not in self._loading and self._room.take(key, content.stamp.size):
                self._load(key, content)
        for name in lifecycle.to_commit(self.now_s):
            self._commit(name)
            changed.append(name)
        self._readiness.publish(ready=self._readiness.ready or not self._loading)
        for name in changed:
            assert name in MODELS, f"{name} is served, and is no model"
            self.expected[name].check(self._state(name))

    def _read(self, name: str) -> None:
        stamp, wish = self.disk.get(name, SETTINGS)
        assert isinstance(wish, Wish)
        changed = stamp != self._lifecycle.settings_stamp(name)
        if changed or self._fails(stamp, wish.fails):
            may_pass = changed or wish.fails != ALWAYS
            self._lifecycle.settings_failed(name, self.now_s, may_pass=may_pass)
        else:
            self._lifecycle.settings_read(name, wish.settings())

    def _load(self, key: Key, content: Content) -> None:
        self._loading.add(key)
        name, version = key
        engine, bundle = self._engines.get(key), self.disk.written[content.stamp.inode]
        assert isinstance(bundle, Bundle)
        size = content.batching.get("max_batch_size", 0)

        def end() -> None:
            self._loading.discard(key)
            self._room.give_back(key)
            stamp, _ = self.disk.get(name, str(version))
            changed = stamp != content.stamp
            if changed or self._fails((content.stamp, size), bundle.fails):
                self.expected[name].failed.add(bundle)
                may_pass = changed or bundle.fails != ALWAYS
                self._lifecycle.failed(key, content, self.now_s, may_pass=may_pass)
            elif self._engines.get(key) is engine and self._lifecycle.loaded(key, content):
                self._staged[key] = (bundle, size)
            self._settle()
            self._plan_look()

        self.at(LOAD_S[bundle.number % len(LOAD_S)], end)

    def _fails(self, what: object, times: int) -> bool:
        self._tries[what] += 1
        return self._tries[what] <= times

    def _commit(self, name: str) -> None:
        lifecycle = self._lifecycle
        change = lifecycle.change(name, self.now_s)
        for key in change.serve:
            if key in self._staged:
                self._serve(key, *self._staged[key])
        lifecycle.commit(name, self.now_s)
        self._registry.set_labels(name, lifecycle.labels(name))
        shadow = lifecycle.shadow(name)
        self._registry.set_shadow(name, shadow.version if shadow else None, None)
        for key in change.withdraw:
            self._registry.remove(*key)
            del self._engines[key]
        for key in [key for key in self._staged if key[0] == name]:
            del self._staged[key]

    def _serve(self, key: Key, bundle: Bundle, max_batch_size: int) -> None:
        engine = Engine(self, key[0], bundle, max_batch_size)
        self._engines[key] = engine
        self._all_engines.append(engine)
        self._registry.add(*key, engine)

    def _state(self, name: str) -> State:
        try:
            default = self._registry.find(name, 0).version
        except TamizError:
            default = 0
        return State(
            self._lifecycle.settings(name),
            {version: engine.bundle for (each, version), engine in self._engines.items() if each == name},
            dict(self._registry.labels(name)),
            default,
        )


def misfit(events: Sequence[Event]) -> str:
    """Return what goes wrong in a history; empty if nothing does."""
    try:
        World().run(events)
    except AssertionError as error:
        return str(error) or repr(error)
    return ""


def shrunk(events: Sequence[Event]) -> list[Event]:
    """Return as few of a history's events as still go wrong."""
    kept, size = list(events), len(events) // 2
    while size:
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if misfit(fewer):
                kept = fewer
            else:
                start += size
        size //= 2
    return kept
