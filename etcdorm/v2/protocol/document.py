"""Records that are one single key: the key's own modifiedIndex is the version, its own TTL the lease."""

from __future__ import annotations

import random
from collections.abc import Callable

from etcdorm.errors import EtcdormError, RefusedError, UnconfirmedError
from etcdorm.path import Path
from etcdorm.store.types import KEEP, Owns, StaleRecord, Ttl
from etcdorm.v2.protocol.apply import lapsed
from etcdorm.v2.protocol.commit import RESERVATION_TTL, reservation
from etcdorm.v2.protocol.fence import check, fence_of, raised, with_fence
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    EXISTS,
    MISMATCH,
    MISSING,
    Done,
    Drop,
    DropDirectory,
    Lost,
    Pause,
    Refresh,
    Refused,
    Request,
    Reserve,
    Steps,
    Swap,
    look,
    one,
)


def create(path: Path, text: str, *, id: str, owns: Owns, ttl: int | None) -> Steps[Snapshot]:
    """Make a document that does not exist: reserve its key, then swap the reservation for the text.

    Raises: StaleRecord when there is a record; RefusedError when a directory is in its place.
    """
    outcome = yield from one(Reserve(path, reservation(id), RESERVATION_TTL))
    while True:
        snapshot = yield from look(path)
        key = snapshot.keys.get("")
        if key is None:
            record = snapshot.record()
            if record is not None and (record.version != 0 or any(owns(name) for name in record.fields)):
                raise StaleRecord(record)
            if isinstance(outcome, Refused):
                yield from _make_room(snapshot, outcome)
            outcome = yield from one(Reserve(path, reservation(id), RESERVATION_TTL))
        elif key.reserved and key.value == reservation(id):
            try:
                return (yield from _swap(snapshot, text, ttl))
            except StaleRecord as stale:
                if stale.current is not None:
                    raise
        elif key.reserved:
            yield from one(Pause(random.uniform(0.1, 0.3)))
            again = yield from look(path)
            if again.keys.get("") == key:
                yield from one(Swap(path, reservation(id), key.index, RESERVATION_TTL))
        else:
            raise StaleRecord(snapshot.record())


def change(base: Snapshot, text: str, *, ttl: Ttl, token: int | None = None) -> Steps[Snapshot]:
    """Replace a document that was loaded; ``text`` is without a fence, which it keeps.

    Raises: StaleRecord when it is not as it was loaded; FencedRecord.
    """
    fence = fence_of(base.keys[""].value)
    check(fence, token, base.record())
    return (yield from _replace(base, with_fence(text, raised(fence, token)), ttl))


def fence(base: Snapshot, token: int) -> Steps[Snapshot]:
    """Put a token into a document that was loaded.

    Raises: StaleRecord when it is not as it was loaded.
    """
    # No other lock has this token, so whoever finds it there has written it.
    return (yield from _replace(base, with_fence(base.keys[""].value, token), KEEP, unique=True))


def _replace(base: Snapshot, text: str, ttl: Ttl, *, unique: bool = False) -> Steps[Snapshot]:
    """Swap the whole text.

    A swap that shall keep the TTL has to send it again, so a document with one is looked at first: somebody may have
    put its expiry off since it was loaded.
    """
    if ttl is KEEP and base.keys[""].expires:
        now = yield from look(base.path)
        key = now.keys.get("")
        if key is None or not _same(key, base.keys[""]):
            raise StaleRecord(now.record())
        base = now
    return (yield from _swap(base, text, ttl, unique=unique))


def remove(base: Snapshot, *, token: int | None = None) -> Steps[None]:
    """Delete a document that was loaded.

    Raises: StaleRecord when it is not as it was loaded; FencedRecord.
    """
    check(fence_of(base.keys[""].value), token, base.record())
    yield from _exactly(base, None, lambda key: Drop(base.path, key.index))


def touch(base: Snapshot, ttl: int) -> Steps[Snapshot]:
    """Move the document's TTL. Its modifiedIndex moves with it; the new base knows.

    Raises: LeaseLapsedError when it is gone.
    """
    path, index = base.path, base.keys[""].index
    content = base
    while True:
        outcome = yield from one(Refresh(path, ttl, index=index))
        if isinstance(outcome, Done):
            key = content.keys[""]
            return content.with_keys({"": Key(key.value, outcome.index, key.created, True, ttl)})
        if isinstance(outcome, Refused) and outcome.code not in (MISSING, MISMATCH):
            raise outcome.error
        now = yield from look(path)
        found = now.keys.get("")
        if found is None or found.reserved or found.created != base.keys[""].created:
            raise lapsed(path)
        index = found.index
        if not _same(found, base.keys[""]):
            # Somebody has saved it meanwhile: the TTL is put off all the same, and our base stays the old version.
            outcome = yield from one(Refresh(path, ttl, index=index))
            if isinstance(outcome, Done):
                return base


def _swap(base: Snapshot, text: str, ttl: Ttl, *, unique: bool = False) -> Steps[Snapshot]:
    def left(key: Key) -> int | None:
        if ttl is not KEEP:
            return ttl
        return max(1, key.ttl or 0) if key.expires else None

    def swap(key: Key) -> Request:
        return Swap(base.path, text, key.index, left(key))

    index = yield from _exactly(base, text, swap, unique=unique)
    key = base.keys[""]
    return base.with_keys({"": Key(text, index, key.created, left(key) is not None, left(key))})


def _exactly(
    base: Snapshot, wanted: str | None, request: Callable[[Key], Request], *, unique: bool = False
) -> Steps[int]:
    """One write over the key as ``base`` has it; ``wanted`` is what it leaves there. Returns the new modifiedIndex.

    ``unique``: nobody else writes just that text.
    A key whose index has moved but not its content was only refreshed, and the write goes on from there.
    Raises: StaleRecord; UnconfirmedError when a lost answer can't be settled.
    """
    path, before, lost = base.path, base.keys[""], False
    known = before
    try:
        while True:
            outcome = yield from one(request(known))
            if isinstance(outcome, Done):
                return outcome.index
            if isinstance(outcome, Refused) and outcome.code not in (MISSING, MISMATCH):
                raise outcome.error
            lost = lost or isinstance(outcome, Lost)
            now = yield from look(path)
            key = now.keys.get("")
            if key is not None and key.index == known.index:
                continue  # not landed: at most one of the two can find the index it names
            if lost and unique and key is not None and (key.value, key.created) == (wanted, before.created):
                return key.index
            same = key is not None and _same(key, before)
            if lost and wanted is None:
                if key is None:
                    return 0
                if key.created != before.created:
                    raise _unconfirmed(path)
            elif lost and not (same and wanted == before.value):
                # Our text may stand there, but another writer may have had the same idea: a counter moved by one.
                raise _unconfirmed(path)
            if key is None or not same:
                lost = False
                raise StaleRecord(now.record())
            known, lost = key, False
    except EtcdormError as error:
        if not lost or isinstance(error, UnconfirmedError):
            raise
        raise _unconfirmed(path) from error


def _same(key: Key, before: Key) -> bool:
    return (key.value, key.created, key.reserved) == (before.value, before.created, before.reserved)


def _make_room(snapshot: Snapshot, refused: Refused) -> Steps[None]:
    """An empty directory that stands where the document should be is removed."""
    outcome = yield from one(DropDirectory(snapshot.path))
    if isinstance(outcome, Refused) and outcome.code not in (MISSING, EXISTS):
        raise RefusedError(
            f"{snapshot.path}: a directory with other keys stands where this document should be; "
            "delete it, or give the model another path"
        ) from refused.error


def _unconfirmed(path: Path) -> UnconfirmedError:
    return UnconfirmedError(
        f"{path}: the write was sent, its answer was lost, and what etcd holds now can't tell whether it happened; "
        "load the record before saving again"
    )
