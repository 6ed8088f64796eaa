"""What is asked of every contender: three calls on a key, and a watch. All check that etcd did what was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Contender(Protocol):
    """A client for asyncio. It is opened, used and closed in one loop."""

    async def open(self, host: str, port: int) -> None: ...

    async def close(self) -> None: ...

    async def read(self, key: str) -> str:
        """The value of a key."""

    async def write(self, key: str, value: str) -> int:
        """Set a key; returns its modifiedIndex."""

    async def swap(self, key: str, value: str, index: int) -> int:
        """Set a key that has this modifiedIndex; returns the new one."""


class Blocking(Protocol):
    """A client that blocks; any number of threads may call it."""

    def open(self, host: str, port: int) -> None: ...

    def close(self) -> None: ...

    def read(self, key: str) -> str: ...

    def write(self, key: str, value: str) -> int: ...

    def swap(self, key: str, value: str, index: int) -> int: ...


class Watcher(Protocol):
    """A way to follow the changes of a key."""

    async def open(self, host: str, port: int) -> None: ...

    async def close(self) -> None: ...

    async def follow(self, key: str, events: int, began: Callable[[], None]) -> None:
        """Take so many events of a key; ``began`` is to be called as soon as none can be missed any more."""
