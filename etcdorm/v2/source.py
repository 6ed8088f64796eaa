"""One key or directory of a client's cluster, as a watch sees it: polls, streams, and where the store stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from etcdorm.v2 import request as requests
from etcdorm.v2.caller import Caller, Understand
from etcdorm.v2.errors import EtcdKeyError, EtcdWatchTimedOut
from etcdorm.v2.request import key_path
from etcdorm.v2.result import EtcdResult
from etcdorm.v2.transport import Streamed

_PATIENCE = 3.0
"""Seconds that a member may take to register a poll; with a password etcd takes some 0.1 s for that."""


class Source(Protocol):
    """Where a watch has its events from: one key or directory of one cluster."""

    @property
    def name(self) -> str: ...

    @property
    def endpoints(self) -> tuple[str, ...]: ...

    @property
    def best(self) -> str:
        """The endpoint to ask first."""
        ...

    def stream(self) -> AbstractAsyncContextManager[tuple[str, Streamed]]: ...

    def suspect(self, endpoint: str) -> None:
        """Ask the others first, for a while."""
        ...

    async def poll(self, index: int, *, wait: float, at: str) -> EtcdResult:
        """The first event from ``index`` on; ``wait`` is in seconds, from when the member has registered the poll."""
        ...

    async def now(self) -> int:
        """Where the store stands, asked with quorum."""
        ...

    async def raft_index(self, at: str | None = None) -> int:
        """Where the raft log of a member stands, or, without one, no less than what is committed by now."""
        ...

    def concerns(self, event: EtcdResult) -> bool:
        """Whether a live watch would bring this event; one from the history may be another's, or hidden."""
        ...


class KeySource:
    """What watches ask of a client's caller; ``name`` is the path that is watched.

    Raises: UsageError for a key that can't be one.
    """

    def __init__(
        self, caller: Caller, understand: Understand[EtcdResult], key_endpoint: str, key: str, *, recursive: bool
    ) -> None:
        path = key_path(key)
        self.name = str(path)
        self.concerns = concern(self.name, recursive=recursive)
        self._caller = caller
        self._understand = understand
        self._key_endpoint = key_endpoint
        self._recursive = recursive

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._caller.endpoints.urls

    @property
    def best(self) -> str:
        return self._caller.endpoints.best(time.monotonic())

    def suspect(self, endpoint: str) -> None:
        self._caller.endpoints.failed(endpoint, time.monotonic())

    def stream(self) -> AbstractAsyncContextManager[tuple[str, Streamed]]:
        return self._caller.stream(
            requests.stream(self._key_endpoint, self.name, recursive=self._recursive), self._understand
        )

    async def poll(self, index: int, *, wait: float, at: str) -> EtcdResult:
        request = requests.read(self._key_endpoint, self.name, recursive=self._recursive, wait=True, waitIndex=index)
        return await self._caller.call(request, self._understand, _PATIENCE, at=at, wait=wait)

    async def now(self) -> int:
        """Where the store stands, for certain: a wait that broke before it was registered could not tell."""
        request = requests.read(self._key_endpoint, self.name, quorum=True)
        try:
            return (await self._caller.call(request, self._understand, self._caller.timeout)).etcd_index
        except EtcdKeyError as error:
            return error.index

    async def raft_index(self, at: str | None = None) -> int:
        if at is None:
            at = self.best
            request = requests.read(self._key_endpoint, self.name, quorum=True)
            with suppress(EtcdKeyError):  # which does not tell the raft index, but its read went through the log
                return (await self._caller.call(request, self._understand, _PATIENCE, at=at)).raft_index
        request = requests.read(self._key_endpoint, self.name, recursive=self._recursive, wait=True)
        try:
            return (await self._caller.call(request, self._understand, _PATIENCE, at=at, wait=0)).raft_index
        except EtcdWatchTimedOut as error:
            return error.raft_index


def concern(path: str, *, recursive: bool) -> Callable[[EtcdResult], bool]:
    """Whether an event is one of a watch of this path: of the path itself, of what is above, or of what lies below.

    From its history etcd also sends what happened to a key whose name only begins like this one's, and what is hidden
    below a directory; a live watch sends neither.
    """
    below = "/" if path == "/" else f"{path}/"

    def concerns(event: EtcdResult) -> bool:
        key = event.key
        if key.startswith(below):
            return recursive and "/_" not in key[len(below) - 1 :]
        return key == path or path.startswith(f"{key}/")

    return concerns
