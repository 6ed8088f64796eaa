"""A record of the usual kind, read fast and kept small; what is unusual about a record takes a snapshot to tell."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from operator import itemgetter
from sys import intern
from typing import Final

from etcdorm.path import Path
from etcdorm.store.types import Record, Version
from etcdorm.v2.protocol.commit import APPLIED, COMMIT, LEASE, parse
from etcdorm.v2.protocol.snapshot import Key, Snapshot, holds_record
from etcdorm.v2.result import Node

_MODIFIED: Final = itemgetter("modifiedIndex")
_CREATED: Final = itemgetter("createdIndex")


@dataclass(slots=True)  # not frozen: there is one for each record, and that would make it three times as expensive
class Packed:
    """All that the snapshot of such a record holds.

    ``fields`` are its plain keys, the same object as the record's. ``modified`` and ``created`` are the indexes of
    these, in their order, then those of ``@commit`` and ``@applied``.
    """

    path: Path
    fields: dict[str, str]
    commit: str
    applied: str
    modified: array[int]
    created: array[int]
    directories: tuple[str, ...]

    def unpack(self) -> Snapshot:
        texts = {**self.fields, COMMIT: self.commit, APPLIED: self.applied}
        keys = {
            name: Key(text, modified, created)
            for (name, text), modified, created in zip(texts.items(), self.modified, self.created, strict=True)
        }
        return Snapshot(self.path, keys, self.directories)


def read(path: Path, node: Node, origin: str = "") -> Record | None:
    """The record in the JSON of a recursive GET of its directory; None for "look closer", at a snapshot.

    It is the record of the snapshot if it was saved and all of that is applied, no other record lies in it, and none
    of its keys expires: so there is neither a reservation nor a lease.
    """
    leaves: list[Node] = []
    directories: list[Node] = []
    if not (node.get("dir") and _collect(node, leaves, directories)):
        return None
    start = len(node.get("key", "")) + 1
    fields = {intern(leaf["key"][start:]): leaf["value"] for leaf in leaves}  # names are the same in every record
    names = list(fields)
    commit, applied = fields.pop(COMMIT, None), fields.pop(APPLIED, None)
    if commit is None or applied is None or LEASE in fields or not _says_all(commit, applied):
        return None
    modified, created = [*map(_MODIFIED, leaves)], [*map(_CREATED, leaves)]
    for name in (COMMIT, APPLIED):
        at = names.index(name)
        for each in (names, modified, created):
            each.append(each.pop(at))
    below = tuple([child["key"][start:] for child in directories]) if directories else ()
    packed = Packed(path, fields, commit, applied, array("Q", modified), array("Q", created), below)
    return Record(path, fields, Version(modified[-2]), created[-2], max(modified[:-1]), None, packed, origin)


def _collect(node: Node, leaves: list[Node], directories: list[Node]) -> bool:
    """Note what lies below a node; False when there is something unusual."""
    for child in node.get("nodes", ()):
        if "dir" in child:
            directories.append(child)
            if holds_record(child) or not _collect(child, leaves, directories):
                return False
        elif "expiration" in child:
            return False
        else:
            leaves.append(child)
    return True


def _says_all(commit: str, applied: str) -> bool:
    """Whether a commit record leaves nothing to be said about the plain keys."""
    try:
        found = parse(commit)
    except ValueError:
        return False
    return found["id"] == applied and not found.get("deleted") and found.get("lease") is None
