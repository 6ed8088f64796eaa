"""One consistent moment of a record's keys, and what it says of the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from etcdorm.errors import DecodeError, FieldFailure
from etcdorm.path import Path
from etcdorm.store.types import Record, Version
from etcdorm.v2.protocol.commit import APPLIED, BOOKKEEPING, COMMIT, LEASE, Commit, is_reservation, lease_base
from etcdorm.v2.protocol.fence import fence_of, without_fence
from etcdorm.v2.result import Node


@dataclass(slots=True)  # not frozen: there is one for each key, and that would make it three times as expensive
class Key:
    """One key: its text, its modifiedIndex and createdIndex, and its TTL as the server told it."""

    value: str = field(repr=False)  # it may be a secret, and a repr ends in logs
    index: int
    created: int = 0
    expires: bool = False
    ttl: int | None = None

    @classmethod
    def of_node(cls, node: Node) -> Key:
        expires = "expiration" in node
        # Between the end of its TTL and its removal a key has an expiration, and no ttl.
        ttl = node.get("ttl", 0) if expires else None
        return cls(node.get("value", ""), node["modifiedIndex"], node["createdIndex"], expires, ttl)

    @property
    def reserved(self) -> bool:
        return is_reservation(self.value, expires=self.expires)


@dataclass(frozen=True)
class Snapshot:
    """All keys of a record by relative name, bookkeeping and reservations included, and its sub-directories.

    A record that is one single key has the one name ``""``. Sub-directories that hold a commit record of their own
    belong to other records and are left out.
    """

    path: Path
    keys: Mapping[str, Key] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    is_directory: bool = False
    """Whether there is a directory, be it an empty one."""

    @classmethod
    def of_node(cls, path: Path, node: Node) -> Snapshot:
        """Read the JSON of a recursive GET of the record's directory or key."""
        if not node.get("dir"):
            return cls(path, {"": Key.of_node(node)})
        keys: dict[str, Key] = {}
        directories: list[str] = []
        # Below the record's own key there is only its "/" and the relative name.
        start = len(node.get("key", "/").rstrip("/")) + 1
        _collect(node, start, keys, directories)
        return cls(path, keys, tuple(directories), is_directory=True)

    @classmethod
    def of_keys(cls, path: Path, keys: Mapping[str, Key]) -> Snapshot:
        """The same from all keys below the record's path, those of other records included; without sub-directories."""
        nested = tuple(name.removesuffix(COMMIT) for name in keys if name.endswith(f"/{COMMIT}"))
        return cls(path, {name: key for name, key in keys.items() if not name.startswith(nested)} if nested else keys)

    def with_keys(self, changed: Mapping[str, Key | None]) -> Snapshot:
        """The same moment after some keys were changed or (None) deleted."""
        keys = dict(self.keys)
        for name, key in changed.items():
            if key is None:
                keys.pop(name, None)
            else:
                keys[name] = key
        after = Snapshot(self.path, keys, self.directories, self.is_directory)
        if COMMIT not in changed and "commit" in vars(self):
            vars(after)["commit"] = self.commit  # it need not be read again
        return after

    def with_commit(self, commit: Commit, index: int) -> Snapshot:
        """The same with a commit in it that has just landed at ``index``."""
        created = self.keys[COMMIT].created if COMMIT in self.keys else index
        after = self.with_keys({COMMIT: Key(commit.text, index, created)})
        vars(after)["commit"] = commit
        return after

    @property
    def is_document(self) -> bool:
        return "" in self.keys

    @cached_property
    def commit(self) -> Commit | None:
        """The commit record, if there is one, and not just a reservation for it."""
        key = self.keys.get(COMMIT)
        if key is None or key.reserved:
            return None
        try:
            return Commit.from_text(key.value)
        except ValueError as error:
            failure = FieldFailure(f"{self.path}/{COMMIT}", COMMIT, f"not a commit record: {error}")
            raise DecodeError(str(self.path), "record", [failure]) from None

    @property
    def applied(self) -> bool:
        """Whether the plain keys hold all of the last commit."""
        key = self.keys.get(APPLIED)
        return self.commit is None or (key is not None and key.value == self.commit.id)

    @property
    def lapsed(self) -> bool:
        """Whether the record had a TTL that has run out."""
        if self.commit is None or self.commit.deleted or self.commit.lease is None:
            return False
        key = self.keys.get(LEASE)
        return key is None or key.value != self.commit.lease

    @property
    def dead_lease(self) -> Key | None:
        """A lease that no commit names, and none will; while one that may yet be named is left alone."""
        key, head = self.keys.get(LEASE), self.keys.get(COMMIT)
        if key is None or head is None or (self.commit is not None and key.value == self.commit.lease):
            return None
        return key if lease_base(key.value) != head.index else None

    @property
    def remains(self) -> bool:
        """Whether this is what is left of a record that does not exist any more."""
        return self.commit is not None and (self.commit.deleted or self.lapsed)

    @property
    def litter(self) -> bool:
        """Whether there is something to be cleared away of a record that does not exist any more.

        Its TTL has run out, or whoever deleted it has not come to an end with that.
        """
        if self.lapsed:
            return True
        if self.commit is None or not self.commit.deleted:
            return False
        # What has a later index was written by another tool since then.
        left = [self.keys[name] for name in (*self.commit.pending, APPLIED) if name in self.keys]
        if any(key.index < self.keys[COMMIT].index for key in left) or self.dead_lease is not None:
            return True
        return not self.plain()

    def plain(self) -> list[tuple[str, Key]]:
        """The keys that hold data: neither bookkeeping nor reserved."""
        return [
            (name, key)
            for name, key in self.keys.items()
            if name not in BOOKKEEPING and not (key.expires and key.reserved)
        ]

    def fields(self) -> dict[str, str]:
        """What the record holds: the plain keys, and over them what the last commit has not yet brought there.

        A key that stands in its way, as another tool has made a directory of a key or a key of a directory, is not of
        the record then.
        """
        return self._fields(self.plain())

    def _fields(self, plain: Sequence[tuple[str, Key]]) -> dict[str, str]:
        fields = {name: key.value for name, key in plain}
        if self.commit is not None and not self.applied:
            written = {name for name, text in self.commit.pending.items() if text is not None}
            above = {part for name in written for part in directories_of(name)}
            for name in list(fields):
                if name in above or name in self.commit.pending or not written.isdisjoint(directories_of(name)):
                    del fields[name]
            fields |= {name: text for name, text in self.commit.pending.items() if text is not None}
        return fields

    def record(self, origin: str = "") -> Record | None:
        """The record as every reader sees it, or None when there is none; ``origin`` is noted in it."""
        if self.remains:
            return None
        plain = self.plain()
        fields = self._fields(plain)
        if self.is_document:
            key = self.keys[""]
            if not fields:
                return None
            texts = {"": without_fence(key.value)}
            fence = fence_of(key.value)
            return Record(self.path, texts, Version(key.index), key.created, key.index, key.ttl, fence, self, origin)
        if self.commit is None:
            if not fields:
                return None
            created, modified = min(key.created for _, key in plain), max(key.index for _, key in plain)
            return Record(self.path, fields, Version(0), created, modified, detail=self, origin=origin)
        head = self.keys[COMMIT]
        fence = self.commit.fence
        modified = max([head.index, *[key.index for _, key in plain]])
        ttl = self.keys[LEASE].ttl if self.commit.lease is not None else None
        return Record(self.path, fields, Version(head.index), head.created, modified, ttl, fence, self, origin)


def _collect(node: Node, start: int, keys: dict[str, Key], directories: list[str]) -> None:
    for child in node.get("nodes", ()):
        name = child["key"][start:]
        if not child.get("dir"):
            keys[name] = Key.of_node(child)
        elif not holds_record(child):
            directories.append(name)
            _collect(child, start, keys, directories)


def directories_of(name: str) -> Iterator[str]:
    """The sub-directories that a key lies in, the outermost first."""
    at = name.find("/")
    while at != -1:
        yield name[:at]
        at = name.find("/", at + 1)


def holds_record(directory: Node) -> bool:
    """Whether a directory in a record is a record of its own."""
    return any(below["key"].endswith(f"/{COMMIT}") for below in directory.get("nodes", ()))
