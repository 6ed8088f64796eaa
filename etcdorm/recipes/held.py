"""A lock that is held: what its holder sees of it, and what is known of it beside that."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Final

from etcdorm.path import Path
from etcdorm.recipes.contender import Contender
from etcdorm.recipes.lease import Lease
from etcdorm.store import Store


class Held:
    """A lock that is held.

    ``token`` is its fencing token: it grows with every holder. ``lost`` is set, by this machine's monotonic clock,
    before the lock's TTL can have run out at the server; the block is cancelled then.
    """

    def __init__(self, token: int, lease: Lease) -> None:
        self._token = token
        self._lease = lease
        self._released = False

    @property
    def token(self) -> int:
        return self._token

    @property
    def lost(self) -> asyncio.Event:
        return self._lease.lost

    @property
    def valid(self) -> bool:
        """Whether it is held for certain; right also when the event loop has stood still, and ``lost`` is late."""
        return not self._released and self._lease.valid

    @property
    def left(self) -> float:
        """Seconds for which it is held for certain, if etcd should not answer from now on."""
        return 0.0 if self._released else self._lease.left


class Claim(Held):
    """The same, as the rest of etcdorm sees it."""

    def __init__(self, contender: Contender, store: Store, origin: str) -> None:
        super().__init__(contender.record.created, contender.lease)
        self.lease: Final = contender.lease
        self.path: Final = contender.directory
        self.id: Final = contender.id
        self.place: Final = contender.record.path
        self.store: Final = store
        self.origin: Final = origin
        self.task: Final = asyncio.current_task()
        self.record: Path | None = None
        """The record that it guards, if it does."""

    @property
    def released(self) -> bool:
        return self._released

    def release(self) -> None:
        """The block is over."""
        self._released = True


_holding: contextvars.ContextVar[tuple[Claim, ...]] = contextvars.ContextVar("etcdorm_holding", default=())


def holding() -> tuple[Claim, ...]:
    """The locks in whose blocks this code runs, those of a task that was started there included."""
    return tuple(held for held in _holding.get() if not held.released)


def enter(held: Claim) -> None:
    """The block of this lock begins here."""
    _holding.set((*holding(), held))


def forget_released() -> None:
    """Some of the blocks have ended."""
    _holding.set(holding())
