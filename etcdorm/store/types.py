"""What goes through the port: records and what happens to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, NewType

from etcdorm.errors import DecodeError
from etcdorm.path import Path

Version = NewType("Version", int)
"""Moves with every save of a record. 0 stands for a record that other tools made and no session ever saved."""

Owns = Callable[[str], bool]
"""Tells whether a relative key belongs to the model; keys that don't are left alone."""


class _Keep(Enum):
    KEEP = "keep"


KEEP: Final = _Keep.KEEP
Ttl = int | None | Literal[_Keep.KEEP]
"""What a save does to a record's TTL: set it to so many seconds, take it away (None), or leave it (KEEP)."""


@dataclass(slots=True)  # not frozen: a listing makes many, and that would make them three times as expensive
class Record:
    """One consistent state of a record, as a store read it.

    ``fields`` maps relative keys (``port``, ``labels/env``) to text; a record that is one single key in etcd has the
    one relative key ``""``. ``created`` and ``modified`` are the store's indexes. ``ttl`` is in seconds, as of the
    reading. ``fence`` is the token of the newest lock that was taken on it. ``detail`` is the store's own: what it
    wants to find again when the record comes back to it. ``origin`` names the cluster that it was read from; "" is one
    that is not known. ``namespace`` is the text that stands before ``path`` in etcd. With an ``error`` there is a
    record, and the store can't read it; only watches tell of such.
    """

    path: Path
    fields: Mapping[str, str] = field(repr=False)  # its texts may be secret, and a repr ends in logs
    version: Version
    created: int
    modified: int
    ttl: int | None = None
    fence: int | None = None
    detail: object = field(default=None, compare=False, repr=False)
    origin: str = field(default="", compare=False, repr=False)
    namespace: str = field(default="", compare=False, repr=False)
    error: DecodeError | None = field(default=None, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The record's path in etcd, for texts."""
        return f"{self.namespace}{self.path}"

    @property
    def is_document(self) -> bool:
        return "" in self.fields


@dataclass(frozen=True, slots=True)
class Collection:
    """Where the records of one kind lie: below ``prefix``, at exactly ``depth`` segments from the root, where
    ``matches`` says yes.

    ``fixed`` are segments behind the prefix, as far as all the records have them in common; None where they differ.
    """

    prefix: Path
    depth: int
    matches: Callable[[Path], bool]
    fixed: tuple[str | None, ...] = ()

    @property
    def shape(self) -> tuple[str | None, ...]:
        """All segments of the records' paths, None where they differ."""
        known = (*self.prefix.segments, *self.fixed)
        return known + (None,) * (self.depth - len(known))


@dataclass(frozen=True, slots=True)
class Event:
    """A record went from ``old`` to ``new``; None stands for "does not exist".

    ``gap`` marks a change that was found by reading again after a break, so that states between the two may have
    been missed. ``expired`` tells why a record is gone: its TTL ran out. ``initial`` marks the records that were there
    when the watch began.
    """

    path: Path
    old: Record | None
    new: Record | None
    gap: bool = False
    expired: bool = False
    initial: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one event of the store, or one reading of the whole collection, means for its records: maybe nothing.

    ``index`` is where the store stands then: all that happened up to it has been told. It goes back when the store was
    made anew. The events of a reading are of one moment.
    """

    events: tuple[Event, ...]
    index: int


class StaleRecord(Exception):
    """A commit was refused because the record is no longer as its writer saw it; ``current`` is what is there now.

    It does not leave the session: users meet ConflictError, AlreadyExistsError or NotFoundError instead.
    """

    def __init__(self, current: Record | None) -> None:
        super().__init__("the record has changed")
        self.current = current


class FencedRecord(StaleRecord):
    """A write was refused because a lock was taken on the record after that of the writer, who does not hold it any
    more. It does not leave the session either: users meet LockLostError."""
