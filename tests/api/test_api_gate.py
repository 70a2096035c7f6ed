"""The limits of callers, counted by one process alone or by several in shared memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest
from pytest_mock import MockerFixture

from deployments.api.access import LOCAL, Principal
from deployments.api.gate import Counts, Gate, OwnCounts
from deployments.api.problems import ApiProblem
from deployments.fleet.counts import CALLERS_MAX, SharedCounts, shared_memory

TEN = Principal("ten", frozenset(), requests_per_minute=10)
TWO = Principal("two", frozenset(), concurrent_max=2)
MakeCounts = Callable[[int], Counts]


@pytest.fixture
def memory() -> Iterator[int]:
    fd = shared_memory()
    yield fd
    os.close(fd)


@pytest.fixture(params=["own", "shared"])
def of_process(request: pytest.FixtureRequest, memory: int) -> MakeCounts:
    """Counts of process 0, 1 and so on; of one alone they are always the same."""
    own = OwnCounts()
    if request.param == "own":
        return lambda number: own
    return lambda number: SharedCounts(memory, processes=3, number=number)


@pytest.fixture
def clock(mocker: MockerFixture) -> Callable[[float], None]:
    """Set the seconds that have gone by."""
    monotonic = mocker.patch("time.monotonic")

    def set_to(now_s: float) -> None:
        monotonic.return_value = 1000.0 + now_s

    set_to(0)
    return set_to


def _passes(gate: Gate, caller: Principal) -> bool:
    try:
        with gate.passing(caller):
            return True
    except ApiProblem as problem:
        assert problem.status == 429
        return False


def test_minute_of_a_caller_is_one_for_all_processes_and_fills_evenly(
    of_process: MakeCounts, clock: Callable[[float], None]
) -> None:
    gates = [Gate(100, None, of_process(number)) for number in range(3)]
    assert sum(_passes(gates[number % 3], TEN) for number in range(30)) == 10
    clock(12.5)  # 12.5 s at 10 a minute: 2 more
    assert sum(_passes(gates[number % 3], TEN) for number in range(9)) == 2
    clock(600)
    assert sum(_passes(gates[number % 3], TEN) for number in range(30)) == 10


def test_requests_at_once_are_counted_over_all_processes(of_process: MakeCounts) -> None:
    first, second = (Gate(3, None, of_process(number)) for number in (0, 1))
    with first.passing(TWO), second.passing(TWO):
        assert not _passes(first, TWO) and not _passes(second, TWO)
        with second.passing(LOCAL):
            assert first.running == second.running == 3
            assert not _passes(first, LOCAL)
    assert first.running == 0
    assert _passes(second, TWO)


def test_what_a_dead_process_had_under_way_is_taken_back(memory: int) -> None:
    dead, alive = (SharedCounts(memory, processes=2, number=number) for number in (0, 1))
    with contextlib.ExitStack() as stack:
        stack.enter_context(Gate(100, None, alive).passing(TWO))
        dead.enter(TWO.name, None)  # and never leaves
        assert not _passes(Gate(100, None, alive), TWO)
        alive.forget(0)
        assert alive.total() == 1
        assert _passes(Gate(100, None, alive), TWO)


def test_callers_make_room_once_they_have_rested(
    memory: int, clock: Callable[[float], None]
) -> None:
    gate = Gate(100, 5, SharedCounts(memory, processes=1, number=0))
    callers = [Principal(str(number), frozenset()) for number in range(CALLERS_MAX + 1)]
    assert all(_passes(gate, caller) for caller in callers[:-1])
    assert not _passes(gate, callers[-1])  # no row is free: refused, not let through uncounted
    clock(60)
    assert _passes(gate, callers[-1])
    assert sum(_passes(gate, callers[-1]) for _ in range(9)) == 4
