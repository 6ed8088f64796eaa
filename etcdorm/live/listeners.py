"""Callbacks for what has changed: one at a time, some time after the change, and never in anybody's way."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from etcdorm.errors import UsageError
from etcdorm.finish import end

_log = logging.getLogger("etcdorm.live")

_LONGEST = 10
"""How many times ``debounce`` a callback waits at most, when changes never stop to come."""


class Listener:
    """Calls ``call`` when it was touched and was then left alone for ``debounce`` seconds.

    What is touched during a call leads to another one. What ``call`` raises is logged.
    """

    def __init__(self, name: str, call: Callable[[], Awaitable[object] | object], debounce: float) -> None:
        self._name = name
        self._call = call
        self._debounce = debounce
        self._touched = asyncio.Event()
        self._stopped = False

    def touch(self) -> None:
        self._touched.set()

    def stop(self) -> None:
        """Make no other call."""
        self._stopped = True

    async def run(self) -> None:
        """Go on until cancelled. Cancel: an async callback that is under way is cancelled too."""
        while not self._stopped:
            await self._touched.wait()
            await self._until_quiet()
            try:
                result = self._call()
                if inspect.isawaitable(result):
                    await result
            except Exception:
                _log.exception("%s: an on_change callback failed", self._name)

    async def _until_quiet(self) -> None:
        time = asyncio.get_running_loop().time
        end = time() + _LONGEST * self._debounce
        self._touched.clear()
        while (left := min(self._debounce, end - time())) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._touched.wait()
            except TimeoutError:
                return
            self._touched.clear()


class Listeners:
    """The listeners of one object, and their tasks, which end with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[Listener, asyncio.Task[None]] = {}

    def add(self, call: Callable[[], Awaitable[object] | object], debounce: float) -> Listener:
        if not (isinstance(debounce, int | float) and 0 <= debounce < float("inf")):
            raise UsageError(f"debounce must be seconds, from 0 on, not {debounce!r}")
        listener = Listener(self._name, call, debounce)
        task = asyncio.create_task(listener.run(), name=f"etcdorm on_change {self._name}")
        self._tasks[listener] = task
        task.add_done_callback(lambda _: self._tasks.pop(listener, None))
        return listener

    def remove(self, listener: Listener) -> None:
        """Call it no more; a call that is under way is cancelled, unless this is said within it."""
        listener.stop()
        task = self._tasks.get(listener)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def close(self) -> None:
        while self._tasks:
            _, task = self._tasks.popitem()
            await end(task)
