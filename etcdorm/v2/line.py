"""Appended records in the order of their keys, as far as that order is settled. Pure.

A key gets its place by being reserved, and becomes a record when its reservation is filled. So whoever goes through the
records by key stops in front of the first reservation: its record may be about to come, and has its place before those
behind it. It is filled, or evaporates, within seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from etcdorm.errors import NotFoundError, UsageError
from etcdorm.path import Path
from etcdorm.store.types import Collection, Record
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.replica import REMOVALS, Gap
from etcdorm.v2.result import EtcdResult, Node

_NAME = re.compile(r"[0-9]{20}")
"""How etcd names the keys that it makes: the index of the store, padded with zeros. So the order of names is theirs."""


def check_name(name: str) -> None:
    """Raise UsageError unless etcd may have made a key of this name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not the name of a key that etcd made, of 20 digits, and has no place among them")


class Line:
    """The records of a collection that stand behind ``after``, in order, each taken once.

    ``after`` is the name of a key; "" is the beginning, and None the last record that can be taken at the first
    reading. What is deleted before its turn comes is not taken.
    """

    def __init__(self, collection: Collection, after: str | None, origin: Callable[[], str] = str) -> None:
        if after:
            check_name(after)
        self._collection = collection
        self._origin = origin
        self._after = after
        self._keys: dict[Path, Key] = {}
        self._stop: Path | None = None

    def replace(self, node: Node | None, index: int, *, initial: bool = False) -> list[Record]:
        """Take a reading of the whole collection for what is true; the records whose turn it is.

        Raises: NotFoundError when the store has not come so far yet: it is another one than before.
        """
        if self._after is not None and self._after > f"{index:020}":
            raise NotFoundError(
                f"{self._collection.prefix}: there is no place after {self._after}, as the store is only at index "
                f"{index}: it was made anew, or restored from an older state; begin again without after="
            )
        self._keys = {} if node is None else dict(self._found(node))
        self._stop = None
        if self._after is None:
            self._after = ""
            self._take()
            return []
        return self._take()

    def apply(self, event: EtcdResult) -> list[Record]:
        """Take one event in the order of its index; the records whose turn it is now.

        Raises: Gap.
        """
        key = Path.parse(event.key)
        if event.action in REMOVALS or event.dir:  # or a directory was written over it
            for path in [path for path in self._keys if key.contains(path)]:
                del self._keys[path]
        elif self._stands(key):
            self._check(key, event)
            self._keys[key] = Key.of_node(event.node)
        return self._take()

    def _take(self) -> list[Record]:
        if self._stop is not None and (first := self._keys.get(self._stop)) is not None and first.reserved:
            return []
        taken: list[Record] = []
        self._stop = None
        for path in sorted(self._keys, key=_place):
            if self._keys[path].reserved:
                self._stop = path
                break
            record = Snapshot(path, {"": self._keys.pop(path)}).record(self._origin())
            assert record is not None
            taken.append(record)
            self._after = path.segments[-1]
        return taken

    def _stands(self, path: Path) -> bool:
        """Whether this is a key of the collection that a store made, behind the last one taken."""
        prefix, segments = self._collection.prefix, path.segments
        return (
            len(segments) == self._collection.depth
            and segments[-1] > (self._after or "")  # first: it leaves out the most, and a page is a small part of all
            and _NAME.fullmatch(segments[-1]) is not None
            and prefix.contains(path)
            and not Path(segments[len(prefix.segments) :]).hidden
            and self._collection.matches(path)
        )

    def _check(self, path: Path, event: EtcdResult) -> None:
        """Compare what the event replaced with what is known; a refresh moves a key's index and sends no event."""
        known, before = self._keys.get(path), event.prev_node
        if known is None:
            if before is not None and not before.dir:
                raise Gap
        elif not known.expires and (before is None or before.modifiedIndex != known.index):
            raise Gap

    def _found(self, node: Node) -> Iterator[tuple[Path, Key]]:
        prefix = self._collection.prefix
        todo: list[tuple[Path, Node]] = [(prefix, node)]
        while todo:
            path, found = todo.pop()
            if not found.get("dir"):
                if self._stands(path):
                    yield path, Key.of_node(found)
            elif len(path.segments) < self._collection.depth:
                children: Iterable[Node] = found.get("nodes", ())
                todo += ((Path((*path.segments, child["key"].rpartition("/")[2])), child) for child in children)


def _place(path: Path) -> tuple[str, Path]:
    return path.segments[-1], path
