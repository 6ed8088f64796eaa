"""The tables that the benchmarks print."""

from __future__ import annotations

import re

from benchmarks import report
from benchmarks.contenders.found import CALLERS, FLOOR, OURS, STREAM, TUNED, WATCHERS
from benchmarks.mapper.goals import Goal
from benchmarks.mapper.memory import Memory
from benchmarks.pairs import Pair, Slice
from benchmarks.timing import COLUMNS, Column


def row(*, seconds: float, cpu: float) -> dict[Column, list[Pair]]:
    return {column: [Pair(Slice(1.0, 1.0), Slice(seconds, cpu))] for column in COLUMNS}


def cells(table: str, name: str) -> list[str]:
    """What stands behind a name, where it stands in a table the first time."""
    line = next(line for line in table.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()


def test_a_table_is_aligned() -> None:
    assert report.table("Title", ["read", "write"], {"floor": ["1", "2"], "a longer name": ["30", "40"]}) == (
        "\nTitle\n\n"
        "                                  read           write\n"
        "floor                                1               2\n"
        "a longer name                       30              40\n"
    )


def test_nothing_runs_together_nor_out_of_120_columns() -> None:
    calls = report.calls({entry.name: row(seconds=99.0, cpu=99.0) for entry in CALLERS}, {})
    watches = report.watches({entry.name: [Pair(Slice(1.0, 1.0), Slice(99.0, 99.0))] for entry in WATCHERS}, {})
    assert max(map(len, (calls + watches).splitlines())) <= 120
    assert cells(calls, TUNED) == ["99.0", "99.0-99.0"] * 6
    assert cells(watches, f"{OURS}, async with") == ["99.0", "99.0-99.0", "1.00", "1.00-1.00", "99000000"]
    assert not re.search(r"\S99.0 99", calls + watches)


def test_time_cpu_time_and_calls_per_second_each_have_a_table() -> None:
    measured = {
        FLOOR: row(seconds=1.0, cpu=1.0),
        OURS: row(seconds=2.0, cpu=3.0),
        "slow": row(seconds=8.0, cpu=4.0),
    }
    time, rest = report.calls(measured, {}).split("CPU time")
    cpu, rate = rest.split("Calls per second")
    assert cells(time, "slow") == ["8.00", "8.00-8.00"] * 6
    assert cells(cpu, "slow") == ["4.00", "4.00-4.00"] * 6
    assert cells(rate, "slow") == ["4.00", "4.00-4.00"] * 6
    assert cells(rate, FLOOR) == ["0.50", "0.50-0.50"] * 6


def test_a_watch_is_compared_with_the_bare_stream_round_by_round() -> None:
    def pairs(*cpu: float) -> list[Pair]:
        return [Pair(Slice(1.0, 1.0), Slice(1.0, each)) for each in cpu]

    watches = report.watches({STREAM: pairs(1.0, 10.0, 100.0), "other": pairs(3.0, 20.0, 100.0)}, {})
    assert cells(watches, "other")[2:4] == ["2.00", "1.50-2.50"]


def test_without_those_that_others_are_compared_with_the_rest_is_shown() -> None:
    calls = report.calls({FLOOR: row(seconds=1.0, cpu=1.0)}, {OURS: "it broke"})
    assert f"{OURS}: not measured: it broke\n" in calls
    watches = report.watches({FLOOR: [Pair(Slice(1.0, 1.0), Slice(1.0, 1.0))]}, {STREAM: "it broke too"})
    assert cells(watches, FLOOR) == ["1.00", "1.00-1.00", "-", "1000000"]
    assert f"{STREAM}: not measured: it broke too\n" in watches
    counted = report.instructions({FLOOR: {"read": 1000.0, "write": 2000.0, "swap": 3000.0}}, {TUNED: "so did this"})
    assert cells(counted, FLOOR) == ["1", "2", "3"]


def test_a_goal_is_met_by_the_median_of_the_time() -> None:
    def pairs(*seconds: float) -> list[Pair]:
        return [Pair(Slice(1.0, 1.0), Slice(each, 9.0)) for each in seconds]

    measured = {
        Goal("kept to", 2.0): pairs(1.0, 2.0, 5.0),
        Goal("missed", 2.0): pairs(1.0, 2.5, 3.0),
        Goal("reached", 2.0, least=True): pairs(1.0, 2.0, 2.5),
        Goal("not reached", 2.0, least=True): pairs(1.0, 1.5, 9.0),
        Goal("beside it"): pairs(1.0, 1.5, 9.0),
    }
    table = report.goals("Title", measured)
    assert cells(table, "kept to") == ["2.00", "1.50-3.50", "9.00", "9.00-9.00", "at", "most", "2.0", "yes"]
    assert cells(table, "missed")[-1] == "NO"
    assert cells(table, "reached")[-4:] == ["at", "least", "2.0", "yes"]
    assert cells(table, "not reached")[-1] == "NO"
    assert cells(table, "beside it")[-2:] == ["-", "-"]


def test_memory_is_told_for_each_model() -> None:
    assert report.memory(Memory(bare=1000.4, listed=2500.0)) == (
        "\nA listed model holds 2500 bytes, a bare one 1000: 2.50 times as many\n"
    )
