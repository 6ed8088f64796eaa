"""Instructions per call, out of the totals of processes."""

from __future__ import annotations

from benchmarks.instructions import Counts, measure
from benchmarks.workload import OPERATIONS, Operation

COST: dict[Operation, int] = {"read": 300, "write": 400, "swap": 500}


def test_what_is_not_the_calls_cancels_out() -> None:
    def count(name: str, counts: Counts) -> int:
        return 1_000_000 + sum(COST[operation] * counts[operation] for operation in OPERATIONS)

    measured, failed = measure(["any"], count, calls=7)
    assert measured == {"any": COST}
    assert failed == {}


def test_a_process_that_fails_is_told_and_the_others_are_counted() -> None:
    def count(name: str, counts: Counts) -> int:
        if name == "bad":
            raise RuntimeError("its process ended with status 1")
        return sum(counts.values())

    measured, failed = measure(["bad", "good"], count, calls=7)
    assert measured == {"good": dict.fromkeys(OPERATIONS, 1)}
    assert failed == {"bad": "its process ended with status 1"}
