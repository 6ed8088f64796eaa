"""A model of the part of etcd v2 that the commit protocol stands on: one record's keys, and what happens to them.

``tests/integration/test_model_of_etcd.py`` compares it with real servers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from etcdorm.errors import RefusedError
from etcdorm.path import Path
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    EXISTS,
    MISMATCH,
    MISSING,
    Done,
    Drop,
    DropDirectory,
    Look,
    Outcome,
    Pause,
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


@dataclass
class World:
    keys: dict[str, Key] = field(default_factory=dict)
    index: int = 0

    def snapshot(self) -> Snapshot:
        return Snapshot(RECORD, dict(self.keys))

    def perform(self, request: Request | Put) -> Outcome:
        match request:
            case Look():
                return Seen(self.snapshot())
            case Pause() | DropDirectory():
                return Done(0)
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
                del self.keys[name]
                self.index += 1
                return Done(self.index)
            case Refresh(path, ttl, index):
                name = RECORD.relative(path)
                return self._compare(name, index) or self._set(name, self.keys[name].value, ttl)

    def expire(self, name: str) -> None:
        del self.keys[name]
        self.index += 1

    def expiring(self) -> list[str]:
        return [name for name, key in self.keys.items() if key.expires]

    def _set(self, name: str, value: str, ttl: int | None) -> Done:
        self.index += 1
        old = self.keys.get(name)
        self.keys[name] = Key(value, self.index, old.created if old else self.index, ttl is not None, ttl)
        return Done(self.index)

    def _compare(self, name: str, index: int) -> Refused | None:
        key = self.keys.get(name)
        if key is None:
            return self._refused(MISSING)
        return None if key.index == index else self._refused(MISMATCH)

    def _refused(self, code: int) -> Refused:
        return Refused(code, RefusedError(f"etcd {code}"))
