"""One key or directory of a client's cluster, as a watch sees it: polls, streams, and where the store stands."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager

from etcdorm.v2 import request as requests
from etcdorm.v2.caller import Caller, Understand
from etcdorm.v2.errors import EtcdKeyError
from etcdorm.v2.request import key_path
from etcdorm.v2.result import EtcdResult
from etcdorm.v2.stream import concern
from etcdorm.v2.transport import Streamed


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

    def suspect(self, endpoint: str) -> None:
        self._caller.endpoints.failed(endpoint, time.monotonic())

    def stream(self) -> AbstractAsyncContextManager[tuple[str, Streamed]]:
        return self._caller.stream(
            requests.stream(self._key_endpoint, self.name, recursive=self._recursive), self._understand
        )

    async def poll(self, index: int, *, timeout: float, at: str | None = None) -> EtcdResult:
        request = requests.read(self._key_endpoint, self.name, recursive=self._recursive, wait=True, waitIndex=index)
        return await self._caller.call(request, self._understand, timeout, at=at)

    async def now(self) -> int:
        """Where the store stands, for certain: a wait that broke before it was registered could not tell."""
        request = requests.read(self._key_endpoint, self.name, quorum=True)
        try:
            return (await self._caller.call(request, self._understand, self._caller.timeout)).etcd_index
        except EtcdKeyError as error:
            return error.index
