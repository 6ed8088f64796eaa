"""What was measured, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contenders.found import OURS, STREAM, TUNED
from benchmarks.mapper.goals import Goal
from benchmarks.mapper.memory import Memory
from benchmarks.pairs import Pair, Unit, cpu, over_floor, over_other, seconds, spread
from benchmarks.timing import COLUMNS, Column
from benchmarks.workload import OPERATIONS, Operation

Calls = Mapping[str, Mapping[Column, Sequence[Pair]]]


def calls(measured: Calls, missing: Mapping[str, str]) -> str:
    """Time and CPU time beside the floor, and what that makes in calls per second beside each other contender."""
    header = [str(column) for column in COLUMNS]

    def beside_floor(unit: Unit) -> dict[str, list[str]]:
        return {name: [str(over_floor(row[column], unit)) for column in COLUMNS] for name, row in measured.items()}

    ours = measured.get(OURS, {})
    others = {name: row for name, row in measured.items() if ours and name != OURS}
    beside_others = {
        name: [str(over_other(row[column], ours[column], seconds)) for column in COLUMNS]
        for name, row in others.items()
    }
    return (
        table("Time per call, as a multiple of the floor's: median and quartiles", header, beside_floor(seconds))
        + notes(missing)
        + table("CPU time of the client's process per call, as a multiple of the floor's", header, beside_floor(cpu))
        + table(f"Calls per second of {OURS}, as a multiple of the others'", header, beside_others)
    )


def watches(measured: Mapping[str, Sequence[Pair]], missing: Mapping[str, str]) -> str:
    bare = measured.get(STREAM)
    lines = {
        name: [
            str(over_floor(pairs, cpu)),
            str(over_other(pairs, bare, cpu)) if bare else "-",
            f"{spread(pair.own.cpu for pair in pairs).median * 1e6:.0f}",
        ]
        for name, pairs in measured.items()
    }
    title = "CPU time per event of a watch, as a multiple of the floor's and of a bare stream's"
    return table(title, ["/ floor", "/ bare stream", "microseconds"], lines) + notes(missing)


def instructions(measured: Mapping[str, Mapping[Operation, float]], missing: Mapping[str, str]) -> str:
    tuned = measured.get(TUNED)

    def cell(name: str, operation: Operation) -> str:
        count = measured[name][operation]
        beside = f" ({count / tuned[operation]:.2f})" if tuned else ""
        return f"{count / 1000:.0f}{beside}"

    lines = {name: [cell(name, operation) for operation in OPERATIONS] for name in measured}
    title = "Thousand instructions per call, and as a multiple of tuned aiohttp's"
    return table(title, list(OPERATIONS), lines) + notes(missing)


def goals(title: str, measured: Mapping[Goal, Sequence[Pair]]) -> str:
    """The multiples of time and CPU time, and whether the one of time is what was aimed at."""
    lines = {}
    for goal, pairs in measured.items():
        time = over_floor(pairs, seconds)
        met = "-" if goal.limit is None else "yes" if goal.is_met(time.median) else "NO"
        lines[goal.name] = [str(time), str(over_floor(pairs, cpu)), str(goal), met]
    return table(title, ["time", "CPU time", "goal", "met"], lines)


def memory(memory: Memory) -> str:
    return (
        f"\nA listed model holds {memory.listed:.0f} bytes, a bare one {memory.bare:.0f}: "
        f"{memory.listed / memory.bare:.2f} times as many\n"
    )


def table(title: str, header: Sequence[str], lines: Mapping[str, Sequence[str]]) -> str:
    body = "".join(f"{name:22}" + "".join(f"{cell:>16}" for cell in cells) + "\n" for name, cells in lines.items())
    return f"\n{title}\n\n{'':22}{''.join(f'{name:>16}' for name in header)}\n{body}"


def notes(missing: Mapping[str, str]) -> str:
    return "".join(f"{name}: not measured: {why}\n" for name, why in missing.items())
