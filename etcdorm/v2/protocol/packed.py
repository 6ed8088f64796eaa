"""A record of the usual kind, read fast and kept small; what is unusual about a record takes a snapshot to tell."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, Final

from etcdorm.path import Path
from etcdorm.store.types import Record, Version
from etcdorm.v2.protocol.commit import APPLIED, BOOKKEEPING, COMMIT, says_nothing_else
from etcdorm.v2.protocol.snapshot import Key, Snapshot, holds_record
from etcdorm.v2.result import Node

_USUAL: Final = {COMMIT, APPLIED}


@dataclass(slots=True)  # not frozen: there is one for each record, and that would make it three times as expensive
class Packed:
    """What the protocol needs to know of such a record to save it.

    ``fields`` are its plain keys, the same object as the record's. ``indexes`` are the modifiedIndex of each of these,
    in their order, and then those of ``@commit`` and ``@applied``; ``created`` is the createdIndex of ``@commit``.
    """

    path: Path
    fields: dict[str, str]
    commit: str
    applied: str
    indexes: array[int]
    created: int
    directories: tuple[str, ...]

    def unpack(self) -> Snapshot:
        """The snapshot; it does not know when the plain keys were created, which counts only before the first save."""
        *plain, head, applied = self.indexes
        keys = {name: Key(text, index) for (name, text), index in zip(self.fields.items(), plain, strict=True)}
        keys |= {COMMIT: Key(self.commit, head, self.created), APPLIED: Key(self.applied, applied)}
        return Snapshot(self.path, keys, self.directories, is_directory=True)


class Packer:
    """Reads records, each of which most likely has the same keys as the one before.

    So their names are kept once for all of them, and dicts with room for them are there already.
    """

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}  # Any: in its copies each has a text, or an index

    def read(self, path: Path, node: Node, origin: str = "") -> Record | None:
        """The record in the JSON of a recursive GET of its directory; None for "look closer", at a snapshot.

        It is the record of the snapshot if it was saved and all of that is applied, no other record lies in it, and
        none of its keys expires: so there is neither a reservation nor a lease.
        """
        fields, indexes = self._names.copy(), self._names.copy()
        ours: dict[str, Node] = {}
        directories: list[str] = []
        count = _collect(node, len(node.get("key", "")) + 1, fields, indexes, ours, directories)
        if count is None or ours.keys() != _USUAL:
            return None
        if not count == len(fields) == len(self._names):
            fields = {name: text for name, text in fields.items() if text is not None}
            indexes = {name: indexes[name] for name in fields}
            self._names = dict.fromkeys(fields)
        head, applied = ours[COMMIT], ours[APPLIED]
        if not says_nothing_else(head.get("value", ""), applied.get("value", "")):
            return None
        version, created = head["modifiedIndex"], head["createdIndex"]
        every = [*indexes.values(), version]
        modified = max(every)
        every.append(applied["modifiedIndex"])
        packed = Packed(path, fields, head["value"], applied["value"], array("Q", every), created, tuple(directories))
        return Record(path, fields, Version(version), created, modified, None, None, packed, origin)


def _collect(
    node: Node,
    start: int,
    fields: dict[str, Any],
    indexes: dict[str, Any],
    ours: dict[str, Node],
    directories: list[str],
) -> int | None:
    """Sort out what lies in a directory. Returns how many plain keys there are; None when something is unusual."""
    count = 0
    for child in node.get("nodes", ()):
        name = child["key"][start:]
        if "dir" in child:
            directories.append(name)
            below = None if holds_record(child) else _collect(child, start, fields, indexes, ours, directories)
            if below is None:
                return None
            count += below
        elif "expiration" in child:
            return None
        elif name in BOOKKEEPING:
            ours[name] = child
        else:
            fields[name] = child.get("value", "")
            indexes[name] = child["modifiedIndex"]
            count += 1
    return count
