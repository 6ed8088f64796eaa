"""Three operations on a small key, one at a time and many at once: the time and the CPU time per call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.contenders.found import FLOOR
from benchmarks.contenders.port import Blocking, Contender
from benchmarks.pairs import Pair, Run, Slice, collect, describe
from benchmarks.workload import OPERATIONS, Operation, Running, lasting

AT_ONCE = (1, 32)


@dataclass(frozen=True, slots=True)
class Column:
    """One operation, one at a time or many at once."""

    operation: Operation
    at_once: int

    def __str__(self) -> str:
        return f"{self.operation} x {self.at_once}"


COLUMNS = tuple(Column(operation, at_once) for at_once in AT_ONCE for operation in OPERATIONS)


async def measure(
    kinds: Mapping[str, type[Contender | Blocking]], host: str, port: int, *, rounds: int, seconds: float
) -> tuple[dict[str, dict[Column, list[Pair]]], dict[str, str]]:
    """The pairs of every contender in every column, and what ended the contenders that failed.

    Units: each slice lasts for so many ``seconds``.
    """
    unopened: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        running: dict[str, Running] = {}
        for name, kind in kinds.items():
            try:
                running[name] = await stack.enter_async_context(Running(kind, host, port, workers=max(AT_ONCE)))
            except Exception as error:  # as in `collect`
                unopened[name] = describe(error)

        def slices(of: Running) -> Run[Column]:
            async def run(column: Column) -> Slice:
                return await of.run(column.operation, lambda: lasting(seconds), at_once=column.at_once)

            return run

        contenders = {name: slices(each) for name, each in running.items()}
        measured, failed = await collect(contenders[FLOOR], contenders, COLUMNS, rounds)
    await asyncio.sleep(0)
    return measured, {**unopened, **failed}
