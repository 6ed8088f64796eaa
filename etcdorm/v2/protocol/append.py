"""Appending a record: a key in the server's order is reserved, and the reservation swapped for the text.

A POST can be neither compared nor recognised before it has landed, so it never carries the text: one that lands when
nobody waits for it any more only makes a reservation, which evaporates. The text goes into the reservation by its
exact index. There is never more than one such swap of which it is not known what became of it: the text is there once,
or not at all.
"""

from __future__ import annotations

from etcdorm.errors import EtcdormError, UnconfirmedError
from etcdorm.path import Path
from etcdorm.v2.protocol.commit import RESERVATION_TTL, reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    MISMATCH,
    MISSING,
    Append,
    Done,
    Happened,
    Lost,
    Recall,
    Refused,
    Steps,
    Swap,
    look,
    one,
)


def append(directory: Path, text: str, *, id: str, ttl: int | None) -> Steps[Snapshot]:
    """Write ``text`` under a new key below the directory; the keys are in the order in which they were reserved.

    Raises: UnconfirmedError when its answer was lost and what became of it can't be told any more; UnavailableError
        when it is certain that the text is not there and never will be.
    """
    while True:
        path, reserved = yield from _reserve(directory, id)
        key = yield from _fill(path, reserved, text, ttl)
        if key is not None:
            return Snapshot(path, {"": key})


def _reserve(directory: Path, id: str) -> Steps[tuple[Path, Key]]:
    """A new key of our own. When the answer is lost, it is looked for: one that nobody fills holds up all readers."""
    value = reservation(id)
    while True:
        outcome = yield from one(Append(directory, value, RESERVATION_TTL))
        if isinstance(outcome, Done):
            assert outcome.path is not None
            return outcome.path, Key(value, outcome.index, outcome.index, expires=True, ttl=RESERVATION_TTL)
        if isinstance(outcome, Refused):
            raise outcome.error
        now = yield from look(directory)
        own = {name: key for name, key in now.keys.items() if key.reserved and key.value == value}
        if own:
            name = max(own)  # the one with the most time left
            return directory / name, own[name]


def _fill(path: Path, reserved: Key, text: str, ttl: int | None) -> Steps[Key | None]:
    """Swap the reservation for the text; None when it is gone, and the text is not there and never will be."""
    lost: EtcdormError | None = None
    try:
        while True:
            outcome = yield from one(Swap(path, text, reserved.index, ttl))
            if isinstance(outcome, Done):
                return Key(text, outcome.index, reserved.created, ttl is not None, ttl)
            if isinstance(outcome, Refused):
                if outcome.code not in (MISSING, MISMATCH):
                    raise outcome.error
                if lost is None:
                    return None
            elif isinstance(outcome, Lost):
                lost = outcome.error
            now = yield from look(path)
            key = now.keys.get("")
            if key is None or key.index != reserved.index:
                return (yield from _settle(path, reserved, text, ttl, now=key))
            # Still as it was: the same request again. At most one of the two can find the index it names.
    except EtcdormError as error:
        if lost is None or isinstance(error, UnconfirmedError):
            raise
        raise _unconfirmed(path) from error


def _settle(path: Path, reserved: Key, text: str, ttl: int | None, *, now: Key | None) -> Steps[Key | None]:
    """What became of a swap whose answer was lost, now that the key has moved on from the index that it named.

    Nobody else writes to the reservation of another: when the text is there, it has landed. What is not there may have
    landed all the same, and been changed or deleted since; the history knows.
    """
    if now is not None and now.created == reserved.created:
        if now.value == text and not now.reserved:
            return now
        if now.value == reserved.value and now.reserved:
            return None  # another tool has put off its expiry
    outcome = yield from one(Recall(path, reserved.index))
    if not isinstance(outcome, Happened):
        assert isinstance(outcome, Refused | Lost)
        raise outcome.error  # the history does not reach back so far any more, or does not answer
    if outcome.value != text or outcome.before != reserved.index:
        return None  # it evaporated, or somebody has deleted or replaced it
    return Key(text, outcome.index, reserved.created, ttl is not None, ttl)


def _unconfirmed(path: Path) -> UnconfirmedError:
    return UnconfirmedError(
        f"{path}: the record was sent, its answer was lost, and what etcd tells now leaves open whether it was there: "
        "it may have been appended, and deleted or changed since; look for it before appending it again"
    )
