"""Slices in pairs: each slice of a contender comes right after one of the floor, and what counts is their ratio.

All contenders take their turn in each round, so that what slows the machine down for a while slows a pair or a round
of them all, and not one contender in all of its slices. Two contenders are compared round by round for that reason.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Column = TypeVar("Column")


@dataclass(frozen=True, slots=True)
class Slice:
    """What one call or event took in a slice: seconds of the clock, and seconds of CPU in this process."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Pair:
    floor: Slice
    own: Slice


Run = Callable[[Column], Awaitable[Slice]]
Unit = Callable[[Slice], float]


def seconds(of: Slice) -> float:
    return of.seconds


def cpu(of: Slice) -> float:
    return of.cpu


@dataclass(frozen=True, slots=True)
class Spread:
    """The median, and the quartiles around it: half of the values lie between them."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{_short(self.median)} {_short(self.low)}-{_short(self.high)}"


def spread(values: Iterable[float]) -> Spread:
    known = list(values)
    if len(known) == 1:
        return Spread(known[0], known[0], known[0])
    return Spread(*statistics.quantiles(known, n=4, method="inclusive"))


def over_floor(pairs: Iterable[Pair], unit: Unit) -> Spread:
    return spread(unit(pair.own) / unit(pair.floor) for pair in pairs)


def over_other(pairs: Sequence[Pair], others: Sequence[Pair], unit: Unit) -> Spread:
    """What one contender took as a multiple of what another one took in the same round."""
    return spread(unit(pair.own) / unit(other.own) for pair, other in zip(pairs, others, strict=True))


async def collect(
    floor: Run[Column], contenders: Mapping[str, Run[Column]], columns: Sequence[Column], rounds: int
) -> tuple[dict[str, dict[Column, list[Pair]]], dict[str, str]]:
    """The pairs of every contender in every column, one for each round, and what ended the contenders that failed."""
    measured: dict[str, dict[Column, list[Pair]]] = {name: {column: [] for column in columns} for name in contenders}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for column in columns:
            for name, pairs in list(measured.items()):
                base = await floor(column)
                try:
                    own = await contenders[name](column)
                except Exception as error:  # whatever another library raises: it is told, and the others go on
                    failed[name] = describe(error)
                    del measured[name]
                else:
                    pairs[column].append(Pair(base, own))
    return measured, failed


def describe(error: Exception) -> str:
    """An error in a line; the first of them, where several came at once."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
