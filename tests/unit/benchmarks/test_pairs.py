"""How slices become ratios, and how they are collected."""

from __future__ import annotations

import pytest

from benchmarks.pairs import Pair, Run, Slice, Spread, collect, cpu, over_floor, over_other, seconds, spread


def pair(floor: float, own: float) -> Pair:
    """In CPU time, a tenth of it."""
    return Pair(Slice(floor, floor / 10), Slice(own, own / 10))


def test_the_median_of_the_ratios_counts_and_not_the_ratio_of_the_medians() -> None:
    drifting = [pair(1.0, 2.0), pair(10.0, 5.0), pair(100.0, 300.0)]
    assert over_floor(drifting, seconds).median == 2.0  # the medians are 10 and 5


def test_two_contenders_are_compared_round_by_round() -> None:
    theirs = [pair(1.0, 2.0), pair(1.0, 40.0), pair(1.0, 300.0)]
    ours = [pair(1.0, 1.0), pair(1.0, 10.0), pair(1.0, 100.0)]
    assert over_other(theirs, ours, seconds) == Spread(2.5, 3.0, 3.5)  # 2, 4 and 3


def test_rounds_that_are_not_the_same_are_not_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        over_other([pair(1.0, 1.0)] * 3, [pair(1.0, 1.0)] * 2, seconds)


def test_time_and_cpu_time_are_told_apart() -> None:
    pairs = [Pair(Slice(1.0, 4.0), Slice(3.0, 2.0))]
    assert over_floor(pairs, seconds).median == 3.0
    assert over_floor(pairs, cpu).median == 0.5


def test_half_of_the_values_lie_within_the_spread() -> None:
    assert spread([5.0, 1.0, 4.0, 2.0, 3.0]) == Spread(2.0, 3.0, 4.0)


def test_one_value_is_all_of_its_spread() -> None:
    assert spread([2.0]) == Spread(2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("values", "shown"), [([1.0, 2.0, 3.0], "2.00 1.50-2.50"), ([9.0, 12.345, 20.0], "12.3 10.7-16.2")]
)
def test_a_spread_is_shown_with_its_median_first(values: list[float], shown: str) -> None:
    assert str(spread(values)) == shown


class Course:
    """Notes whose slice was run when; the slices of a name that is to fail raise."""

    def __init__(self, failing: str = "") -> None:
        self.ran: list[str] = []
        self._failing = failing

    def of(self, name: str) -> Run[str]:
        async def run(column: str) -> Slice:
            self.ran.append(f"{name} {column}")
            if name == self._failing:
                raise ExceptionGroup("two workers", [ConnectionError("no etcd"), ValueError("of a second one")])
            return Slice(float(len(self.ran)), 1.0)

        return run


async def test_each_round_has_a_slice_of_everyone_right_after_one_of_the_floor() -> None:
    course = Course()
    contenders = {name: course.of(name) for name in ("a", "b")}
    measured, failed = await collect(course.of("floor"), contenders, ["read", "write"], 2)
    one_round = [
        *("floor read", "a read", "floor read", "b read"),
        *("floor write", "a write", "floor write", "b write"),
    ]
    assert course.ran == one_round * 2
    assert failed == {}
    assert measured["b"]["read"] == [
        Pair(Slice(3.0, 1.0), Slice(4.0, 1.0)),
        Pair(Slice(11.0, 1.0), Slice(12.0, 1.0)),
    ]


async def test_who_fails_is_told_and_measured_no_further_while_the_others_go_on() -> None:
    course = Course(failing="a")
    contenders = {name: course.of(name) for name in ("a", "b")}
    measured, failed = await collect(course.of("floor"), contenders, ["read", "write"], 3)
    assert failed == {"a": "ConnectionError: no etcd"}
    assert list(measured) == ["b"]
    assert [len(pairs) for pairs in measured["b"].values()] == [3, 3]
    assert course.ran.count("a read") == 1
    assert "a write" not in course.ran


async def test_without_the_floor_nothing_can_be_measured() -> None:
    course = Course(failing="floor")
    with pytest.raises(ExceptionGroup):
        await collect(course.of("floor"), {"a": course.of("a")}, ["read"], 1)
