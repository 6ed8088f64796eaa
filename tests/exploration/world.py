"""A model of the part of etcd v2 that the protocols stand on: the keys of one directory, and what happens to them.

``tests/integration/test_model_of_etcd.py`` compares it with real servers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from etcdorm.errors import RefusedError
from etcdorm.path import Path
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    CLEARED,
    EXISTS,
    MISMATCH,
    MISSING,
    Append,
    Done,
    Drop,
    DropDirectory,
    Happened,
    Look,
    Outcome,
    Pause,
    Recall,
    Refresh,
    Refused,
    Request,
    Reserve,
    Seen,
    Swap,
)

RECORD = Path.parse("/r")


@dataclass(frozen=True, slots=True)
class Put:
    """A bare PUT, which the protocol never sends; only broken variants of it do. ``only_new``: prevExist=false."""

    path: Path
    value: str
    only_new: bool = False


@dataclass(frozen=True, slots=True)
class BareRefresh:
    """A refresh of whatever is there, which the protocol never sends either."""

    path: Path
    ttl: int


@dataclass(frozen=True, slots=True)
class BareDelete:
    """A delete of whatever is there."""

    path: Path


Sent = Request | Put | BareRefresh | BareDelete


@dataclass(frozen=True, slots=True)
class Change:
    """What the history tells of one key: it went from ``old`` to ``new`` at an index."""

    index: int
    name: str
    old: Key | None
    new: Key | None
    expired: bool = False


@dataclass
class World:
    keys: dict[str, Key] = field(default_factory=dict)
    index: int = 0
    history: list[Change] = field(default_factory=list)
    forgotten: int = 0
    """The history begins after this index."""
    now: int = 0
    """Seconds."""
    deadlines: dict[str, int] = field(default_factory=dict)
    """When each key expires that does."""

    _seen: tuple[int, int, Snapshot] | None = None
    """The last snapshot of all, as of an index and a time."""

    def snapshot(self, path: Path = RECORD) -> Snapshot:
        name = RECORD.relative(path)
        if not name:
            if self._seen is None or self._seen[:2] != (self.index, self.now):
                keys = {name: self._told(name) for name in self.keys} if self.now else dict(self.keys)
                self._seen = self.index, self.now, Snapshot(RECORD, keys)
            return self._seen[2]
        return Snapshot(path, {"": self._told(name)} if name in self.keys else {})

    def perform(self, request: Sent) -> Outcome:
        match request:
            case Look(path):
                return Seen(self.snapshot(path))
            case Append(_, value, ttl):
                name = f"{self.index + 1:020}"
                return Done(self._set(name, value, ttl).index, RECORD / name)
            case Recall(path, index):
                return self._recall(RECORD.relative(path), index)
            case Pause():
                return Done(0)
            case DropDirectory(path) | BareDelete(path):
                # There are no directories here. But what etcd deletes with dir=true is a key too, if one is there.
                name = RECORD.relative(path)
                if name not in self.keys:
                    return self._refused(MISSING)
                self._delete(name)
                return Done(self.index)
            case Reserve(path, value, ttl):
                name = RECORD.relative(path)
                return self._refused(EXISTS) if name in self.keys else self._set(name, value, ttl)
            case Put(path, value, only_new):
                name = RECORD.relative(path)
                return self._refused(EXISTS) if only_new and name in self.keys else self._set(name, value, None)
            case Swap(path, value, index, ttl):
                name = RECORD.relative(path)
                return self._compare(name, index) or self._set(name, value, ttl)
            case Drop(path, index):
                name = RECORD.relative(path)
                refused = self._compare(name, index)
                if refused is not None:
                    return refused
                self._delete(name)
                return Done(self.index)
            case Refresh(path, ttl, index):
                name = RECORD.relative(path)
                return self._compare(name, index) or self._set(name, self.keys[name].value, ttl, tells=False)
            case BareRefresh(path, ttl):
                name = RECORD.relative(path)
                if name not in self.keys:
                    return self._refused(MISSING)
                return self._set(name, self.keys[name].value, ttl, tells=False)

    def expire(self, name: str) -> None:
        """Let so much time pass that a key expires, and it alone; etcd may be late with the others."""
        self.now = max(self.now, self.deadlines[name])
        self._delete(name, expired=True)

    def overdue(self) -> list[str]:
        """Keys that are still there only because etcd has not looked yet."""
        return [name for name, deadline in self.deadlines.items() if deadline <= self.now]

    def forget(self) -> None:
        """Clear the history, as a thousand events elsewhere do."""
        self.forgotten = self.index

    def expiring(self) -> list[str]:
        return [name for name, key in self.keys.items() if key.expires]

    def _set(self, name: str, value: str, ttl: int | None, *, tells: bool = True) -> Done:
        self.index += 1
        old = self.keys.get(name)
        new = Key(value, self.index, old.created if old else self.index, ttl is not None, ttl)
        self.keys[name] = new
        if ttl is not None:
            self.deadlines[name] = self.now + ttl
        else:
            self.deadlines.pop(name, None)
        if tells:
            self.history.append(Change(self.index, name, old, new))
        return Done(self.index)

    def _delete(self, name: str, *, expired: bool = False) -> None:
        self.index += 1
        self.deadlines.pop(name, None)
        self.history.append(Change(self.index, name, self.keys.pop(name), None, expired))

    def _recall(self, name: str, index: int) -> Outcome:
        if index < self.forgotten:
            return self._refused(CLEARED)
        change = next(change for change in self.history if change.name == name and change.index > index)
        before = 0 if change.old is None else change.old.index
        return Happened(None if change.new is None else change.new.value, before, change.index)

    def _told(self, name: str) -> Key:
        """A key with what is left of its TTL."""
        key = self.keys[name]
        return replace(key, ttl=max(0, self.deadlines[name] - self.now)) if key.expires else key

    def _compare(self, name: str, index: int) -> Refused | None:
        key = self.keys.get(name)
        if key is None:
            return self._refused(MISSING)
        return None if key.index == index else self._refused(MISMATCH)

    def _refused(self, code: int) -> Refused:
        return Refused(code, RefusedError(f"etcd {code}"))
