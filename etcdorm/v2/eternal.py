"""A watch without an end, as python-etcd's ``eternal_watch``: by long polls, or, in ``async with``, by a stream."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from etcdorm.errors import UsageError
from etcdorm.finish import end
from etcdorm.v2.errors import (
    EtcdConnectionFailed,
    EtcdMisconfigured,
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
    StopWatching,
)
from etcdorm.v2.pace import Pace
from etcdorm.v2.polls import Polls, made_anew
from etcdorm.v2.result import EtcdResult
from etcdorm.v2.source import Source
from etcdorm.v2.stream import Streaming

_log = logging.getLogger("etcdorm.v2")

_POLL = 45.0
"""Seconds that one poll waits. A silent connection may be dead, or its member cut off, so no poll waits for ever."""

_PAUSE = 0.5
"""Seconds between two tries when no endpoint answers."""

_TURN = 32
"""Events after which a step lets other tasks run."""


class EternalWatch:
    """An async iterator of the changes of a key; ``index`` is where it goes on, and where another one could.

    Iterated as it is, it makes one long poll for each event, and holds no task and no connection while nobody asks for
    the next one. That is enough for some hundred changes a second. In ``async with client.eternal_watch(...)`` it
    streams: a task of the block takes what comes at once, so that neither a fast writer nor a slow consumer loses
    anything, and long polls check that the stream is alive.

    Either way every event comes once and in order, or EtcdEventIndexCleared tells that it can't be so. A cancelled
    ``anext`` loses nothing. While no endpoint answers it tries on, and logs a warning for each try.
    Raises: EtcdEventIndexCleared when the history does not reach back to ``index`` any more, or the store was made
        anew: read the key, and start another watch at that answer's ``etcd_index + 1``.
    """

    def __init__(self, source: Source, index: int | None = None, *, poll: float = _POLL) -> None:
        self.index = index or None  # 0 means from now, as in python-etcd
        self._source = source
        self._polls = Polls(source)
        self._pace = Pace(poll)
        self._closed = False
        self._steps = 0
        self._streaming: Streaming | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether events come, as far as is known."""
        return self._streaming is None or self._streaming.connected

    async def __aenter__(self) -> Self:
        """Begin to stream; without an index, from now on.

        Raises: EtcdUnavailable when no endpoint can tell where the store stands.
        """
        if self._task is not None or self._closed:
            raise UsageError(f"the watch of {self._source.name} was entered before; make another one")
        if self.index is None:
            self.index = await self._source.now() + 1
        self._streaming = Streaming(self._source, self.index)
        self._task = asyncio.create_task(self._streaming.run(), name=f"etcdorm watch {self._source.name}")
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EtcdResult:
        if self._streaming is not None:
            return await self._next_streamed(self._streaming)
        while not self._closed:
            try:
                event = await self._next()
            except EtcdMisconfigured:
                raise  # what must be mended by hand is not to be waited for
            except EtcdConnectionFailed as error:
                _log.warning("watch of %s: %s; trying on", self._source.name, error)
                await asyncio.sleep(_PAUSE)
                continue
            if event is not None:
                return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration, and give back what it holds."""
        self._closed = True
        if self._task is not None:
            await end(self._task)

    async def call(self, callback: Callable[[EtcdResult], Awaitable[object] | object]) -> int:
        """Hand every event to ``callback``, awaiting what can be awaited, until it raises StopWatching.

        Returns the index to go on from, as python-aio-etcd's ``eternal_watch(key, callback)`` does.
        """
        async with self:
            async for event in self:
                try:
                    result = callback(event)
                    if inspect.isawaitable(result):
                        await result
                except StopWatching:
                    break
        return self.index or 0

    # -- by long polls ----------------------------------------------------------------------------------------------

    async def _next(self) -> EtcdResult | None:
        """One poll: the next event, or None when there was none for this watch."""
        if self.index is None:
            self.index = await self._source.now() + 1
        began = asyncio.get_running_loop().time()
        try:
            event = await self._polls.poll(self.index, wait=self._pace.seconds)
        except EtcdWatchTimedOut as error:
            self._pace.registered(error.index, began)
            if error.index + 1 < self.index and (now := await self._source.now()) + 1 < self.index:
                raise made_anew(self._source.name, self.index, now) from None
            # Nothing came up to the index at which the poll began, so the next one need not begin in a history that
            # other keys are filling up.
            self.index = max(self.index, error.index + 1)
            return None
        except EtcdWatcherCleared:
            return None
        self.index = event.modifiedIndex + 1
        return event if self._source.concerns(event) else None

    # -- by a stream ------------------------------------------------------------------------------------------------

    async def _next_streamed(self, streaming: Streaming) -> EtcdResult:
        while not self._closed:
            self._steps += 1
            if not self._steps % _TURN:
                await asyncio.sleep(0)  # a consumer that never waits must not keep the stream from being drained
            if (event := streaming.take()) is not None:
                self.index = event.modifiedIndex + 1
                return event
            if streaming.failure is not None:
                raise streaming.failure
            await streaming.arrival()
        raise StopAsyncIteration

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that ended by an error of ours must not leave whoever waits for events waiting."""
        if self._streaming is not None and not task.cancelled() and (error := task.exception()) is not None:
            self._streaming.fail(error)
