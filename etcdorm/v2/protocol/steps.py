"""What the protocol asks for, and what comes back.

There is no bare PUT and no unconditional DELETE of a key here: every write names the exact modifiedIndex that it
replaces, but for :class:`Reserve` and :class:`Append`, whose result evaporates by itself when nobody turns it into
something. A write that lands late therefore finds its index gone, and does nothing. Values may be secret, and are in no
repr.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from etcdorm.errors import EtcdormError
from etcdorm.path import Path
from etcdorm.v2.protocol.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Look:
    """Read the record's whole directory with quorum, as one consistent moment."""

    path: Path


@dataclass(frozen=True, slots=True)
class Reserve:
    """Create a key that expires (prevExist=false): for the index it gets, or as a lease that a commit will name."""

    path: Path
    value: str = field(repr=False)
    ttl: int


@dataclass(frozen=True, slots=True)
class Append:
    """Create a key that expires below a directory (POST); the server makes its name, greater than any before it."""

    path: Path
    value: str = field(repr=False)
    ttl: int


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask the history for the first thing that happened to a key after an index; it is known that something did."""

    path: Path
    index: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Compare-and-swap on prevIndex. Without ``ttl`` the key loses the TTL it had."""

    path: Path
    value: str = field(repr=False)
    index: int
    ttl: int | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Compare-and-delete on prevIndex."""

    path: Path
    index: int


@dataclass(frozen=True, slots=True)
class DropDirectory:
    """Delete a directory if it is empty; the one write without an index, for an empty directory holds nothing.

    etcd deletes a key for it as well, whatever is in that. So it is sent only to where no session would make a key, and
    never to where a document may be.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class Refresh:
    """Move the TTL of a key that still has this index; its watchers sleep on."""

    path: Path
    ttl: int
    index: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Let others get on, for so many seconds."""

    seconds: float


Write = Swap | Reserve | Append | Drop | DropDirectory | Refresh
Request = Write | Look | Recall | Pause


@dataclass(frozen=True, slots=True)
class Done:
    """It happened; ``index`` is the modifiedIndex it made (0 for a pause), ``path`` the key that an append made."""

    index: int
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The answer to a look."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Happened:
    """What the history tells: a key went from the modifiedIndex ``before`` to a value, or (None) away, at ``index``."""

    value: str | None = field(repr=False)
    before: int
    index: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no: this attempt did not happen and never will."""

    code: int | None
    error: EtcdormError


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: it may have happened, or may happen later."""

    error: EtcdormError


Outcome = Done | Seen | Happened | Refused | Lost
T = TypeVar("T")
Steps = Generator[Sequence[Request], Sequence[Outcome], T]
"""A step that can't be sent at all (out of time, nobody there) is thrown into the generator as UnavailableError."""

MISSING, MISMATCH, NOT_FILE, NOT_DIR, EXISTS, NOT_EMPTY, CLEARED = 100, 101, 102, 104, 105, 108, 401


def one(request: Request) -> Steps[Outcome]:
    """A step of a single request."""
    (outcome,) = yield (request,)
    return outcome


def look(path: Path) -> Steps[Snapshot]:
    """The record as it stands now; raises UnavailableError when there is no answer in time."""
    (outcome,) = yield (Look(path),)
    if isinstance(outcome, Seen):
        return outcome.snapshot
    assert isinstance(outcome, Refused | Lost)
    raise outcome.error
