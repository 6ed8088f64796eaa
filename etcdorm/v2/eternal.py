"""A watch without an end, as python-etcd's ``eternal_watch``: poll after poll, each from where the last one ended.

Long polls with an exact waitIndex, so nothing is skipped as long as etcd's history (its last 1000 events) reaches back.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, Self

from etcdorm.path import Path
from etcdorm.v2.errors import (
    EtcdConnectionFailed,
    EtcdEventIndexCleared,
    EtcdKeyError,
    EtcdMisconfigured,
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
    StopWatching,
)
from etcdorm.v2.request import key_path
from etcdorm.v2.result import EtcdResult

_log = logging.getLogger("etcdorm.v2")

_POLL = 45.0
"""Seconds that one poll waits. A silent connection may be dead, or its member cut off, so no poll waits for ever."""

_PAUSE = 0.5
"""Seconds between two tries when no endpoint answers."""


class Reader(Protocol):
    """What a watch needs of a client."""

    async def read(
        self,
        key: str,
        *,
        recursive: bool = False,
        sorted: bool = False,
        quorum: bool = False,
        wait: bool = False,
        waitIndex: int | None = None,
        timeout: float | None = None,
    ) -> EtcdResult: ...


class EternalWatch:
    """An async iterator of the changes of a key; ``index`` is where it goes on, and where another one could.

    It holds no task and no connection while nobody asks for the next event. A cancelled ``anext`` loses nothing.
    While no endpoint answers it tries on, and logs a warning for each try.
    Raises: EtcdEventIndexCleared when the history does not reach back to ``index`` any more, or the store was made
        anew: read the key, and start another watch at that answer's ``etcd_index + 1``.
    """

    def __init__(
        self, reader: Reader, key: str, index: int | None = None, *, recursive: bool = False, poll: float = _POLL
    ) -> None:
        self._reader = reader
        self._path: Path = key_path(key)
        self._key = str(self._path)
        self.index = index or None  # 0 means from now, as in python-etcd
        self._recursive = recursive
        self._poll = poll
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EtcdResult:
        while not self._closed:
            try:
                event = await self._next()
            except EtcdMisconfigured:
                raise  # what must be mended by hand is not to be waited for
            except EtcdConnectionFailed as error:
                _log.warning("watch of %s: %s; trying on", self._key, error)
                await asyncio.sleep(_PAUSE)
                continue
            if event is not None:
                return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iteration; there is nothing else to give back."""
        self._closed = True

    async def call(self, callback: Callable[[EtcdResult], Awaitable[object] | object]) -> int:
        """Hand every event to ``callback``, awaiting what can be awaited, until it raises StopWatching.

        Returns the index to go on from, as python-aio-etcd's ``eternal_watch(key, callback)`` does.
        """
        async for event in self:
            try:
                result = callback(event)
                if inspect.isawaitable(result):
                    await result
            except StopWatching:
                break
        return self.index or 0

    async def _next(self) -> EtcdResult | None:
        """One poll: the next event, or None when there was none for this watch."""
        if self.index is None:
            self.index = await self._now() + 1
        try:
            event = await self._reader.read(
                self._key, recursive=self._recursive, wait=True, waitIndex=self.index, timeout=self._poll
            )
        except EtcdWatchTimedOut as error:
            if error.index + 1 < self.index:
                await self._check_history()
            # Nothing came up to the index at which the poll began, so the next one need not begin in a history that
            # other keys are filling up.
            self.index = max(self.index, error.index + 1)
            return None
        except EtcdWatcherCleared:
            return None
        self.index = event.modifiedIndex + 1
        return event if self._concerns(event) else None

    async def _now(self) -> int:
        """Where the store stands, for certain: a wait that broke before it was registered could not tell."""
        try:
            return (await self._reader.read(self._key, quorum=True)).etcd_index
        except EtcdKeyError as error:
            return error.index

    async def _check_history(self) -> None:
        """The member that was polled is behind, or the whole store was made anew and the index will not come."""
        now = await self._now()
        if self.index is not None and now + 1 < self.index:
            raise EtcdEventIndexCleared(
                f"watch of {self._key}: the store stands at index {now}, before {self.index}, so it was made anew; "
                "read the keys anew, and watch from the index of that answer + 1",
                index=now,
            )

    def _concerns(self, event: EtcdResult) -> bool:
        """From its history etcd also sends what happened to a key whose name only begins like this one's."""
        found = Path.parse(event.key)
        return found.contains(self._path) or (self._recursive and self._path.contains(found))
