"""A copy of a collection's keys, and what an event or a new reading does to its records. Pure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from etcdorm.errors import DecodeError
from etcdorm.path import Path
from etcdorm.store.types import Collection, Event, Record, Step, Version
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.result import EtcdResult, Node

REMOVALS = frozenset(("delete", "expire", "compareAndDelete"))


class Gap(Exception):
    """The event does not follow on what is known: some before it never came."""


class Replica:
    """All keys of a collection by record, and each record as it was last told.

    A save shows when its commit record changes: from then on the record reads as the whole save, and the writes of
    its plain keys that follow change nothing any more. So one save is one event.
    """

    def __init__(self, collection: Collection, origin: Callable[[], str] = str) -> None:
        self._collection = collection
        self._origin = origin
        self._keys: dict[Path, dict[str, Key]] = {}  # dicts that are shared with records, so they don't change
        self._told: dict[Path, Record] = {}

    def replace(self, node: Node | None, index: int, *, initial: bool) -> list[Event]:
        """Take a reading of the whole collection, at an index of the store, for what is true; what differs is told.

        All but those of the first reading (``initial``) may leave out states in between.
        """
        self._keys = {}
        if node is not None:
            self._collect(node)
        paths = sorted(self._keys.keys() | self._told.keys(), key=lambda path: path.segments)
        return [event for path in paths for event in self._tell(path, gap=not initial, initial=initial)]

    def apply(self, result: EtcdResult) -> list[Event]:
        """Take one event in the order of its index.

        Raises: Gap.
        """
        key = Path.parse(result.key)
        expired = result.action == "expire"
        if key.contains(self._collection.prefix) and result.action in REMOVALS:
            # One event for a whole tree: the collection itself, or a directory above it.
            return self._remove(list(self._keys), expired)
        if not self._collection.prefix.contains(key) or self._hidden(key):
            return []
        depth = self._collection.depth
        if len(key.segments) < depth:
            if result.action not in REMOVALS:
                return []
            return self._remove([path for path in self._keys if key.contains(path)], expired)
        path = Path(key.segments[:depth])
        if not self._collection.matches(path):
            return []
        name = "/".join(key.segments[depth:])
        if result.action in REMOVALS:
            below = f"{name}/" if name else ""
            keys = self._keys.get(path, {})
            self._keys[path] = {each: key for each, key in keys.items() if each != name and not each.startswith(below)}
        elif not result.dir:
            self._check(path, name, result)
            self._keys[path] = {**self._keys.get(path, {}), sys.intern(name): Key.of_node(result.node)}
        elif name in (keys := self._keys.get(path, {})):  # a directory was written over the key
            self._keys[path] = {each: key for each, key in keys.items() if each != name}
        return list(self._tell(path, expired=expired))

    def _remove(self, paths: list[Path], expired: bool) -> list[Event]:
        for path in paths:
            self._keys[path] = {}
        return [event for path in sorted(paths, key=str) for event in self._tell(path, expired=expired)]

    def _tell(self, path: Path, *, gap: bool = False, expired: bool = False, initial: bool = False) -> Iterator[Event]:
        keys = self._keys.get(path, {})
        if not keys:
            self._keys.pop(path, None)
        old = self._told.pop(path, None)
        snapshot = Snapshot.of_keys(path, keys)
        try:
            new = snapshot.record(self._origin())
        except DecodeError as error:
            # A commit record that somebody has damaged must not end the watch of all the others.
            new = self._unreadable(snapshot, error)
        if new is not None:
            self._told[path] = new
        if (old is None) != (new is None) or (old is not None and new is not None and old.fields != new.fields):
            yield Event(path, old, new, gap=gap, expired=expired and new is None, initial=initial)

    def _unreadable(self, snapshot: Snapshot, error: DecodeError) -> Record:
        fields = {name: key.value for name, key in snapshot.keys.items()}
        index = max(key.index for key in snapshot.keys.values())
        return Record(snapshot.path, fields, Version(index), 0, index, origin=self._origin(), error=error)

    def _check(self, path: Path, name: str, result: EtcdResult) -> None:
        """Compare what the event replaced with what is known; a refresh moves a key's index and sends no event."""
        known, before = self._keys.get(path, {}).get(name), result.prev_node
        if known is None:
            if before is not None and not before.dir:
                raise Gap
        elif not known.expires and (before is None or before.modifiedIndex != known.index):
            raise Gap

    def _hidden(self, key: Path) -> bool:
        """Hidden below the collection's prefix: a listing leaves it out, an event out of the history does not."""
        return Path(key.segments[len(self._collection.prefix.segments) :]).hidden

    def _collect(self, node: Node) -> None:
        prefix = self._collection.prefix
        for found in EtcdResult("get", node).get_subtree(leaves_only=True):
            key = Path.parse(found.key) if found.key != "/" else Path()
            if len(key.segments) < self._collection.depth or not prefix.contains(key):
                continue
            path = Path(key.segments[: self._collection.depth])
            if self._collection.matches(path):
                name = sys.intern("/".join(key.segments[self._collection.depth :]))  # the same in all records
                self._keys.setdefault(path, {})[name] = Key.of_node(found.node)


class Stepwise:
    """What a replica tells, with the index of the store at which it does."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def replace(self, node: Node | None, index: int, *, initial: bool) -> list[Step]:
        return [Step(tuple(self._replica.replace(node, index, initial=initial)), index)]

    def apply(self, result: EtcdResult) -> list[Step]:
        return [Step(tuple(self._replica.apply(result)), result.modifiedIndex)]
