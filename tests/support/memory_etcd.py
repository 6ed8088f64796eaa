"""What the clients of a MemoryStore share: records, their indexes and TTLs, and who is told of changes.

Time is that of the running loop, so a test in virtual time has it at its will.
"""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from etcdorm.path import Path
from etcdorm.store import Collection, Record, Version

RESERVED_FOR = 5
"""Seconds that the place of an append is held for whoever reserved it."""


@dataclass(slots=True)
class Entry:
    """The keys below a path. They are no record while the place is only ``reserved``, or all of them are leftovers that
    a removal did not own (not ``living``)."""

    fields: dict[str, str]
    version: int
    created: int
    modified: int
    expires: float | None = None
    fence: int | None = None
    reserved: bool = False
    living: bool = True
    timer: asyncio.TimerHandle | None = None

    @property
    def is_document(self) -> bool:
        return "" in self.fields


class Listener(Protocol):
    """A watch, as the cluster sees it."""

    def changed(self, path: Path, *, expired: bool) -> None: ...

    def missed(self) -> None:
        """Something happened that it was not told of, and will not be."""
        ...

    def wake(self) -> None:
        """The cluster, or the way to it, is there again."""
        ...


class MemoryEtcd:
    """One cluster. Its methods do one change each, at once; clients add the waiting and the faults."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.index = 3
        self.listeners: set[Listener] = set()
        self._watched = True
        self._entries: dict[Path, Entry] = {}
        self._up = asyncio.Event()
        self._up.set()

    # -- faults of the whole cluster ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """No request is answered, no watch is told of anything, and no TTL runs out, until it is started."""
        self._up.clear()

    def start(self) -> None:
        """Go on, or begin. What has expired meanwhile goes now."""
        self._up.set()
        for path, entry in list(self._entries.items()):
            self._expire_later(path, entry)
        self.wake()

    def wake(self) -> None:
        """Let all watches look again whether they can go on."""
        for listener in list(self.listeners):
            listener.wake()

    @property
    def up(self) -> asyncio.Event:
        return self._up

    def clear_history(self, *, while_: Callable[[], None] = lambda: None) -> None:
        """Let all watches miss what happens in ``while_``, and what they have not handed out yet."""
        self._watched = False
        while_()
        self._watched = True
        for listener in list(self.listeners):
            listener.missed()

    def backup(self) -> tuple[int, dict[Path, Entry]]:
        """What ``restore`` goes back to."""
        return self.index, {path: self._copied(entry) for path, entry in self._entries.items()}

    def restore(self, backup: tuple[int, dict[Path, Entry]] | None = None) -> None:
        """Go back to a backup, or to an empty etcd. Watches are told what differs then, as after a gap."""
        for entry in self._entries.values():
            if entry.timer is not None:
                entry.timer.cancel()
        index, entries = (3, {}) if backup is None else backup

        def replace() -> None:
            self.index = index
            self._entries = {path: self._copied(entry) for path, entry in entries.items()}
            for path, entry in list(self._entries.items()):
                self._expire_later(path, entry)

        self.clear_history(while_=replace)

    # -- reading ------------------------------------------------------------------------------------------------------

    def entry(self, path: Path) -> Entry | None:
        return self._entries.get(path)

    def record(self, path: Path) -> Record | None:
        entry = self._entries.get(path)
        return None if entry is None or entry.reserved or not entry.living else self.as_record(path, entry)

    def as_record(self, path: Path, entry: Entry) -> Record:
        ttl = None if entry.expires is None else max(1, math.ceil(entry.expires - _now()))
        version = Version(entry.version)
        return Record(
            path, dict(entry.fields), version, entry.created, entry.modified, ttl, entry.fence, origin=self.name
        )

    def records(self, collection: Collection) -> Iterator[Record]:
        """Those of a collection, sorted by path."""
        for path in sorted(self._entries, key=lambda path: path.segments):
            record = self.record(path) if within(collection, path) else None
            if record is not None:
                yield record

    def line(self, collection: Collection, after: str) -> Iterator[Record]:
        """The appended records behind ``after``, in order, up to the first place that is only reserved."""
        for path in sorted(self._entries, key=lambda path: (path.segments[-1], path)):
            if within(collection, path) and is_name(path.segments[-1]) and path.segments[-1] > after:
                if self._entries[path].reserved:
                    return
                record = self.record(path)
                if record is not None:
                    yield record

    # -- changing -----------------------------------------------------------------------------------------------------

    def tick(self) -> int:
        self.index += 1
        return self.index

    def put(
        self,
        path: Path,
        fields: Mapping[str, str],
        *,
        ttl: int | None,
        fence: int | None = None,
        reserved: bool = False,
    ) -> Entry:
        """Make an entry, over whatever is there."""
        index = self.tick()
        entry = Entry(dict(fields), index, index, index, fence=fence, reserved=reserved)
        self._entries[path] = entry
        self.set_ttl(path, entry, ttl)
        self._tell(path)
        return entry

    def change(self, path: Path, entry: Entry, fields: Mapping[str, str]) -> None:
        """Give an entry other fields, and so another version."""
        entry.fields, entry.reserved = dict(fields), False
        entry.version = entry.modified = self.tick()
        self._tell(path)

    def edit(self, path: Path, fields: Mapping[str, str]) -> None:
        """What another tool does: the keys change, and the version does not, but for a document's."""
        entry = self._entries[path]
        entry.fields, entry.modified = dict(fields), self.tick()
        if entry.is_document:
            entry.version = entry.modified
        self._tell(path)

    def set_ttl(self, path: Path, entry: Entry, ttl: int | None) -> None:
        entry.expires = None if ttl is None else _now() + ttl
        self._expire_later(path, entry)

    def take(self, path: Path, *, expired: bool = False) -> None:
        """Remove an entry."""
        entry = self._entries.pop(path)
        if entry.timer is not None:
            entry.timer.cancel()
        self.tick()
        self._tell(path, expired=expired)

    def _expire_later(self, path: Path, entry: Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer = None
        if entry.expires is not None:
            entry.timer = asyncio.get_running_loop().call_at(entry.expires, self._expire, path, entry)

    def _expire(self, path: Path, entry: Entry) -> None:
        if self._up.is_set() and self._entries.get(path) is entry:
            self.take(path, expired=True)

    def _tell(self, path: Path, *, expired: bool = False) -> None:
        for listener in list(self.listeners) if self._watched else ():
            listener.changed(path, expired=expired)

    @staticmethod
    def _copied(entry: Entry) -> Entry:
        entry = copy.copy(entry)
        entry.fields, entry.timer = dict(entry.fields), None
        return entry


def within(collection: Collection, path: Path) -> bool:
    """Whether a path is one of the collection, and not hidden below its prefix."""
    prefix = collection.prefix
    return (
        len(path.segments) == collection.depth
        and prefix.contains(path)
        and not Path(path.segments[len(prefix.segments) :]).hidden
        and collection.matches(path)
    )


def is_name(segment: str) -> bool:
    """Whether this is how the store names what is appended."""
    return len(segment) == 20 and segment.isdecimal()


def _now() -> float:
    return asyncio.get_running_loop().time()
