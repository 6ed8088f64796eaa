"""What is measured: one of three operations on a small key, so many calls of it, one at a time or many at once."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutinefunction
from typing import Literal, get_args

from typing_extensions import TypeIs

from benchmarks.contenders.port import Blocking, Contender

Operation = Literal["read", "write", "swap"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

VALUE = "eu-west-1"


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

    async def check(self) -> None:
        """One call of each kind for each worker, which opens its connection; raises when an answer is wrong."""
        await self.run("write", calls=len(self._keys), at_once=len(self._keys))
        await self.run("read", calls=len(self._keys), at_once=len(self._keys))

    async def run(self, operation: Operation, *, calls: int, at_once: int) -> float:
        """Make the calls; returns the seconds they took. Blocks the loop when the contender does."""
        keys = self._keys[:at_once]
        if operation == "swap":
            await self._learn_indexes(keys)
        gc.collect()
        begun = time.perf_counter()
        await self._share_out(operation, keys, calls // at_once)
        return time.perf_counter() - begun

    async def _share_out(self, operation: Operation, keys: list[str], calls: int) -> None:
        contender = self._contender
        if is_async(contender):
            if len(keys) == 1:
                await self._work(contender, operation, keys[0], calls)
            else:
                await asyncio.gather(*(self._work(contender, operation, key, calls) for key in keys))
        elif len(keys) == 1:
            self._work_blocking(contender, operation, keys[0], calls)
        else:
            list(self._threads.map(lambda key: self._work_blocking(contender, operation, key, calls), keys))

    async def _learn_indexes(self, keys: list[str]) -> None:
        """Others write the same keys between two slices."""
        contender = self._contender
        for key in keys:
            written = contender.write(key, VALUE)
            self._indexes[key] = written if isinstance(written, int) else await written

    async def _work(self, contender: Contender, operation: Operation, key: str, calls: int) -> None:
        if operation == "read":
            for _ in range(calls):
                check(await contender.read(key))
        elif operation == "write":
            for _ in range(calls):
                await contender.write(key, VALUE)
        else:
            index = self._indexes[key]
            for _ in range(calls):
                index = await contender.swap(key, VALUE, index)

    def _work_blocking(self, contender: Blocking, operation: Operation, key: str, calls: int) -> None:
        if operation == "read":
            for _ in range(calls):
                check(contender.read(key))
        elif operation == "write":
            for _ in range(calls):
                contender.write(key, VALUE)
        else:
            index = self._indexes[key]
            for _ in range(calls):
                index = contender.swap(key, VALUE, index)


def check(value: str) -> None:
    if value != VALUE:
        raise AssertionError(f"a read brought {value!r} instead of {VALUE!r}")


def is_async(contender: Contender | Blocking) -> TypeIs[Contender]:
    call: Callable[..., object] = contender.read
    return iscoroutinefunction(call)
