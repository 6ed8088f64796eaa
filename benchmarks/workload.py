"""What is measured: one of three operations on a small key, one call at a time or many at once."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutinefunction
from typing import Literal, get_args

from typing_extensions import TypeIs

from benchmarks.contenders.port import Blocking, Contender
from benchmarks.pairs import Slice

Operation = Literal["read", "write", "swap"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

VALUE = "eu-west-1"

Turns = Callable[[], Iterable[object]]
"""Makes the turns of one worker, which makes a call in each."""


class Running:
    """A contender that is open, with a key for each of its workers; ``async with`` closes it."""

    def __init__(
        self, kind: type[Contender | Blocking], host: str, port: int, *, workers: int, below: str = "/bench"
    ) -> None:
        self._contender = kind()
        self._at = host, port
        self._keys = [f"{below}/key-{number:02}" for number in range(workers)]
        self._indexes: dict[str, int] = {}
        self._threads = ThreadPoolExecutor(workers)

    async def __aenter__(self) -> Running:
        if is_async(self._contender):
            await self._contender.open(*self._at)
        else:
            self._contender.open(*self._at)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown()
        if is_async(self._contender):
            await self._contender.close()
        else:
            self._contender.close()

    async def run(self, operation: Operation, turns: Turns, *, at_once: int) -> Slice:
        """Make calls, in each of so many workers one for each turn. Blocks the loop when the contender does.

        Each worker writes its key before the time counts: that opens its connection again when it was closed in
        the meantime, and brings the index for its swaps, as others write the same keys between two slices.
        """
        keys = self._keys[:at_once]
        await self._share_out("write", keys, lambda: range(1))
        gc.collect()
        begun, begun_cpu = time.perf_counter(), time.process_time()
        calls = await self._share_out(operation, keys, turns)
        taken, taken_cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
        return Slice(taken / calls, taken_cpu / calls)

    async def _share_out(self, operation: Operation, keys: list[str], turns: Turns) -> int:
        """The number of calls that were made."""
        contender = self._contender
        if is_async(contender):
            if len(keys) == 1:
                return await self._work(contender, operation, keys[0], turns())
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._work(contender, operation, key, turns())) for key in keys]
            return sum(task.result() for task in tasks)
        if len(keys) == 1:
            return self._work_blocking(contender, operation, keys[0], turns())
        return sum(self._threads.map(lambda key: self._work_blocking(contender, operation, key, turns()), keys))

    async def _work(self, contender: Contender, operation: Operation, key: str, turns: Iterable[object]) -> int:
        done = 0
        index = self._indexes.get(key, 0)
        if operation == "read":
            for _ in turns:
                check(await contender.read(key))
                done += 1
        elif operation == "write":
            for _ in turns:
                index = await contender.write(key, VALUE)
                done += 1
        else:
            for _ in turns:
                index = await contender.swap(key, VALUE, index)
                done += 1
        self._indexes[key] = index
        return done

    def _work_blocking(self, contender: Blocking, operation: Operation, key: str, turns: Iterable[object]) -> int:
        done = 0
        index = self._indexes.get(key, 0)
        if operation == "read":
            for _ in turns:
                check(contender.read(key))
                done += 1
        elif operation == "write":
            for _ in turns:
                index = contender.write(key, VALUE)
                done += 1
        else:
            for _ in turns:
                index = contender.swap(key, VALUE, index)
                done += 1
        self._indexes[key] = index
        return done


def lasting(seconds: float) -> Iterator[None]:
    """Turns for so long; the first one in any case."""
    end = time.perf_counter() + seconds
    yield
    while time.perf_counter() < end:
        yield


def check(value: str) -> None:
    if value != VALUE:
        raise AssertionError(f"a read brought {value!r} instead of {VALUE!r}")


def is_async(contender: Contender | Blocking) -> TypeIs[Contender]:
    call: Callable[..., object] = contender.read
    return iscoroutinefunction(call)
