"""Watching a collection of records: what is known of its keys, kept up to date by a streamed watch."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from etcdorm.path import Path
from etcdorm.v2.client import Client
from etcdorm.v2.errors import (
    EtcdConnectionFailed,
    EtcdEventIndexCleared,
    EtcdException,
    EtcdKeyNotFound,
    EtcdMisconfigured,
    EtcdNotDir,
)
from etcdorm.v2.eternal import EternalWatch
from etcdorm.v2.replica import Gap
from etcdorm.v2.result import EtcdResult, Node

_log = logging.getLogger("etcdorm.store")

_PAUSE = 0.5
"""Seconds between two tries when no endpoint answers."""


T = TypeVar("T")


class Follower(Protocol[T]):
    """What a watch keeps up to date: a Replica of a collection's keys, or the Line of its records."""

    def replace(self, node: Node | None, index: int, *, initial: bool) -> list[T]:
        """Take a reading of all keys, at an index of the store, for what is true; what there is to tell then."""
        ...

    def apply(self, result: EtcdResult, /) -> list[T]:
        """Take one event; what there is to tell then.

        Raises: Gap.
        """
        ...


class Watch(Generic[T]):
    """An async iterator of what a follower tells of all that lies below a prefix; it is entered with a first reading.

    A cancelled ``anext`` loses nothing. Leaving the block ends its task and its connections.
    """

    def __init__(self, client: Client, prefix: Path, follower: Follower[T], *, timeout: float) -> None:
        self._client = client
        self._prefix = prefix
        self._timeout = timeout
        self._follower = follower
        self._ready: deque[T] = deque()
        self._events: EternalWatch | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether events come, as far as is known."""
        return self._events is not None and self._events.connected

    async def __aenter__(self) -> Self:
        await self._begin(initial=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        await self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            if self._events is None:
                await self._begin_anew()
            else:
                await self._wait(self._events)
        return self._ready.popleft()

    async def _wait(self, events: EternalWatch) -> None:
        """Take in one event of the keys, or find that reading anew is needed."""
        prefix = self._prefix
        try:
            result = await anext(events)
            self._ready.extend(self._follower.apply(result))
        except StopAsyncIteration:
            self._closed = True
        except EtcdEventIndexCleared as error:
            _log.info("watch of %s: %s", prefix, error)
            await self._end()
        except Gap:
            _log.info("watch of %s: events are missing before index %d; reading anew", prefix, result.modifiedIndex)
            await self._end()
        except EtcdException:
            await self._end()  # it has failed for good; whoever asks again begins anew
            raise

    async def _begin_anew(self) -> None:
        try:
            await self._begin()
        except EtcdMisconfigured:
            raise  # what must be mended by hand is not to be waited for
        except EtcdConnectionFailed as error:
            _log.warning("watch of %s: %s; trying on", self._prefix, error)
            await asyncio.sleep(_PAUSE)

    async def _begin(self, *, initial: bool = False) -> None:
        """Read all of the collection, tell what differs from what was known, and watch from there on."""
        prefix = str(self._prefix)
        node: Node | None = None
        try:
            result = await self._client.read(prefix, recursive=True, quorum=True, timeout=self._timeout)
            node, index = result.node, result.etcd_index
        except (EtcdKeyNotFound, EtcdNotDir) as error:
            index = error.index
        self._ready.extend(self._follower.replace(node, index, initial=initial))
        self._events = await self._client.eternal_watch(prefix, index + 1, recursive=True).__aenter__()

    async def _end(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            await events.aclose()
