"""The port: what a session needs from any etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self

from etcdorm.errors import DecodeError
from etcdorm.path import Path
from etcdorm.store.types import KEEP, Collection, Event, Owns, Record, Step, Ttl


class Observation(Protocol):
    """What ``Store.observe`` gives: an async iterator."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Step: ...

    @property
    def connected(self) -> bool:
        """Whether the store brings what happens, as far as is known: a cut line shows after some seconds."""
        ...


class Store(Protocol):
    """Records in an etcd: read and watched as consistent states, changed atomically against the version last seen.

    Every call has the store's one deadline. Every call may raise UnavailableError (nothing was changed), and every
    call that writes UnconfirmedError (it may have happened). A cancelled write may have happened too; it never leaves
    half of itself to be seen.

    A writer who holds a lock gives its ``token``: the write is refused when the record's fence is greater, and raises
    it to the token otherwise.
    """

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs that the store talks to."""
        ...

    @property
    def namespace(self) -> str:
        """What stands before every path of this store in etcd; "" where paths are as they are there."""
        ...

    async def origin(self) -> str:
        """Which cluster this is, as in ``Record.origin``; it is asked for when no answer has told it yet."""
        ...

    async def read(self, path: Path, *, fresh: bool = False, owns: Owns | None = None) -> Record | None:
        """One record, or None when there is none.

        ``owns`` lets the store clear away what it owns of a record whose TTL has run out, in its own time.

        ``fresh`` asks the majority of the cluster instead of the nearest member; without it the answer may be a
        little old, but never older than one that this store gave before.
        """
        ...

    async def scan(
        self, collection: Collection, *, owns: Owns | None = None, after: Path | None = None
    ) -> Iterator[Record | DecodeError]:
        """All records of a collection, of one moment, in one request, in no order; those behind ``after`` alone.

        They are made as they are asked for. One that the store can't read is there as its error. ``owns`` as in
        ``read``.
        """
        ...

    async def create(
        self, path: Path, fields: Mapping[str, str], *, owns: Owns, ttl: int | None = None, token: int | None = None
    ) -> Record:
        """Write a record that does not exist yet, all of it or nothing.

        Raises: StaleRecord when a record with a key that ``owns`` accepts exists already, or was created meanwhile;
            FencedRecord.
        """
        ...

    async def commit(
        self, base: Record, changes: Mapping[str, str | None], *, ttl: Ttl = KEEP, token: int | None = None
    ) -> Record:
        """Change some keys of a record (None deletes), all of them or none, if its version is still that of ``base``.

        Raises: StaleRecord when the version has moved on or the record is gone; FencedRecord; LeaseLapsedError when its
            TTL ran out.
        """
        ...

    async def fence(self, base: Record, token: int) -> Record:
        """Make ``token`` the record's fence, whatever it was, if its version is still that of ``base``; that moves it.

        What the record holds does not change, and nobody who watches it is woken.
        Raises: as ``commit``, but FencedRecord.
        """
        ...

    async def remove(self, base: Record, *, owns: Owns, token: int | None = None, prune: bool = False) -> None:
        """Delete a record if its version is still that of ``base``; keys that ``owns`` refuses stay.

        ``prune`` also deletes the directory above it when nothing is left there.
        Raises: StaleRecord and FencedRecord as ``commit`` does; LeaseLapsedError when its TTL has run out, and what is
            left of it tells: where nothing is, it is stale.
        """
        ...

    async def append(self, directory: Path, text: str, *, ttl: int | None = None) -> Record:
        """Write a record of one single key under a name that the store makes, once or not at all.

        Names are texts that grow, over all directories; whoever goes through them by ``sequence`` or ``follow`` meets
        every record.
        """
        ...

    async def sequence(self, collection: Collection, *, after: str = "", fresh: bool = False) -> list[Record]:
        """The appended records of a collection whose names are greater than ``after``, in the order of their names.

        They end where an append is under way that may yet bring a record with its place before the others. ``fresh`` is
        as in ``read``.
        Raises: UsageError for a name that the store can't have made; NotFoundError for one that it has not reached.
        """
        ...

    def follow(
        self, collection: Collection, *, after: str | None = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        """What ``sequence`` gives, then each further record as its turn comes; with None, only the latter.

        A record that is deleted before its turn does not come.
        Raises: as ``sequence``.
        """
        ...

    def check_name(self, name: str) -> None:
        """Raise UsageError for a name that the store can't have made for an append."""
        ...

    async def touch(self, base: Record, *, ttl: int) -> Record:
        """Put off a record's expiry to ``ttl`` whole seconds from now, in one request that wakes no watcher.

        Raises: UsageError when the record has no TTL; LeaseLapsedError when it has expired.
        """
        ...

    def watch(self, collection: Collection) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """The records there are (as events without ``old``), then each change, in order, none lost in silence."""
        ...

    def observe(self, collection: Collection) -> AbstractAsyncContextManager[Observation]:
        """What ``watch`` tells, step by step; the first is the reading of what there is, and comes at once.

        A step comes for whatever happens to a record, also when it says what it said before, so that an index at which
        something was written is always come to. What ``anext`` raises does not end it: the next one tries again.
        """
        ...

    async def close(self) -> None:
        """End what the store has under way, and its connections. It always ends, and may be called twice."""
        ...
