"""What is measured of the mapper, beside what, and what it has to come to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from benchmarks.pairs import Pair, Slice, collect


@dataclass(frozen=True, slots=True)
class Goal:
    """A multiple that is to be kept to; with ``least``, one that is to be reached.

    Without a ``limit`` it is no goal, but what a goal is to be seen beside.
    """

    name: str
    limit: float | None = None
    least: bool = False

    def is_met(self, multiple: float) -> bool:
        if self.limit is None:
            return True
        return multiple >= self.limit if self.least else multiple <= self.limit

    def __str__(self) -> str:
        return "-" if self.limit is None else f"at {'least' if self.least else 'most'} {self.limit}"


@dataclass(frozen=True, slots=True)
class Work:
    """The two halves of a pair; each makes one slice. The multiple is that of ``own`` over ``floor``."""

    floor: Callable[[], Awaitable[Slice]]
    own: Callable[[], Awaitable[Slice]]


async def measure(work: Mapping[Goal, Work], rounds: int) -> dict[Goal, list[Pair]]:
    """The pairs of every goal, one for each round.

    Raises: RuntimeError with what the session raised.
    """

    async def floor(goal: Goal) -> Slice:
        return await work[goal].floor()

    async def own(goal: Goal) -> Slice:
        return await work[goal].own()

    measured, failed = await collect(floor, {"session": own}, list(work), rounds)
    if failed:
        raise RuntimeError(f"the session could not be measured: {failed['session']}")
    return measured["session"]
