"""The circuit, on a virtual clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tamiz_server.engine.circuit import Circuit

COOLDOWN_S = 5.0


def opened(at_s: float = 0.0, max_failures: int = 3) -> Circuit:
    circuit = Circuit(max_failures=max_failures, cooldown_s=COOLDOWN_S)
    for _ in range(max_failures):
        circuit.failed(at_s)
    return circuit


def test_it_opens_at_so_many_failures_in_a_row_and_not_before():
    circuit = Circuit(max_failures=3, cooldown_s=COOLDOWN_S)
    for _ in range(2):
        circuit.failed(0.0)
    circuit.succeeded()
    for _ in range(2):
        circuit.failed(0.0)
        assert not circuit.refuses(0.0)
    circuit.failed(0.0)
    assert circuit.is_open
    assert circuit.refuses(4.9)


def test_after_the_cool_down_one_is_let_through_and_decides():
    circuit = opened()
    assert [circuit.refuses(5.0), circuit.refuses(5.0), circuit.refuses(5.1)] == [False, True, True]
    circuit.failed(6.0)
    assert [circuit.refuses(10.9), circuit.refuses(11.0)] == [True, False]
    circuit.succeeded()
    assert not circuit.is_open
    assert not circuit.refuses(11.0)


def test_a_probe_that_comes_to_nothing_is_followed_by_another():
    circuit = opened()
    assert [circuit.refuses(now_s) for now_s in (5.0, 9.9, 10.0, 10.1)] == [False, True, False, True]


def test_zero_never_opens_it():
    circuit = Circuit(max_failures=0, cooldown_s=COOLDOWN_S)
    for _ in range(1_000):
        circuit.failed(0.0)
    assert not circuit.is_open


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_it_is_open_exactly_when_the_last_so_many_batches_failed(failures, max_failures):
    circuit = Circuit(max_failures=max_failures, cooldown_s=COOLDOWN_S)
    for position, failed in enumerate(failures):
        circuit.failed(0.0) if failed else circuit.succeeded()
        last = failures[max(0, position + 1 - max_failures) : position + 1]
        assert circuit.is_open == (len(last) == max_failures and all(last))
        assert circuit.counts == failed


class CircuitMachine(RuleBasedStateMachine):
    """While it is open, at most one request per cool-down is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.circuit = opened()
        self.let_through: list[float] = []

    @rule(seconds=st.floats(0, 7))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def ask(self) -> None:
        if not self.circuit.refuses(self.now_s):
            self.let_through.append(self.now_s)

    @rule()
    def fail(self) -> None:
        self.circuit.failed(self.now_s)

    @invariant()
    def few_are_let_through(self) -> None:
        assert all(
            b - a >= COOLDOWN_S - 1e-9 for a, b in zip(self.let_through, self.let_through[1:], strict=False)
        )


TestCircuitMachine = CircuitMachine.TestCase
