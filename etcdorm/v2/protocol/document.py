"""Records that are one single key: the key's own modifiedIndex is the version, its own TTL the lease."""

from __future__ import annotations

import random
from collections.abc import Callable

from etcdorm.errors import EtcdormError, RefusedError, UnconfirmedError
from etcdorm.path import Path
from etcdorm.store.types import KEEP, Owns, StaleRecord, Ttl
from etcdorm.v2.protocol.commit import RESERVATION_TTL, reservation
from etcdorm.v2.protocol.fence import check, fence_of, raised, with_fence
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    EXISTS,
    MISMATCH,
    MISSING,
    Done,
    Drop,
    Lost,
    Pause,
    Refused,
    Request,
    Reserve,
    Steps,
    Swap,
    look,
    one,
)
from etcdorm.v2.protocol.touch import put_off


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
            if snapshot.is_directory:
                # Not even an empty one is removed: etcd's request for that takes a key as well, and so it could land
                # on the document that somebody else has made here by then.
                raise RefusedError(
                    f"{path}: a directory stands where this document should be; delete it, with what is in it, or give "
                    "the model another path"
                )
            if isinstance(outcome, Refused) and outcome.code != EXISTS:
                raise outcome.error
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
    check(fence, token, base.record)
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
    check(fence_of(base.keys[""].value), token, base.record)
    yield from _exactly(base, None, lambda key: Drop(base.path, key.index))


def touch(base: Snapshot, ttl: int) -> Steps[Snapshot]:
    """Move the document's TTL. Its modifiedIndex moves with it; the new base knows, unless somebody else has saved the
    document since ``base``: then it stays the old version.

    Raises: LeaseLapsedError when it is gone; UsageError when the TTL was taken away meanwhile; UnconfirmedError.
    """
    before = base.keys[""]

    def still(now: Snapshot) -> Key | None:
        found = now.keys.get("")
        return None if found is None or found.reserved or found.created != before.created else found

    key, moved = yield from put_off(base.path, "", before, ttl, still)
    index = moved if _same(key, before) else before.index
    return base.with_keys({"": Key(before.value, index, before.created, expires=True, ttl=ttl)})


def _swap(base: Snapshot, text: str, ttl: Ttl, *, unique: bool = False) -> Steps[Snapshot]:
    def left(key: Key) -> int | None:
        if ttl is not KEEP:
            return ttl
        return max(1, key.ttl or 0) if key.expires else None

    def swap(key: Key) -> Request:
        return Swap(base.path, text, key.index, left(key))

    replaced, index = yield from _exactly(base, text, swap, unique=unique)
    seconds = left(replaced)
    return base.with_keys({"": Key(text, index, replaced.created, seconds is not None, seconds)})


def _exactly(
    base: Snapshot, wanted: str | None, request: Callable[[Key], Request], *, unique: bool = False
) -> Steps[tuple[Key, int]]:
    """One write over the key as ``base`` has it; ``wanted`` is what it leaves there (None: nothing).

    Returns the key that it replaced, and the new modifiedIndex. A key whose index has moved but not its content was
    only refreshed, and the write goes on from there. ``unique``: nobody else writes just that text.
    Raises: StaleRecord; UnconfirmedError when a lost answer can't be settled.
    """
    path, before, lost = base.path, base.keys[""], False
    known = before
    try:
        while True:
            outcome = yield from one(request(known))
            if isinstance(outcome, Done):
                return known, outcome.index
            if isinstance(outcome, Refused) and outcome.code not in (MISSING, MISMATCH):
                raise outcome.error
            lost = lost or isinstance(outcome, Lost)
            now = yield from look(path)
            key = now.keys.get("")
            if key is not None and key.index == known.index:
                continue  # not landed: at most one of the two can find the index it names
            if lost and unique and key is not None and (key.value, key.created) == (wanted, before.created):
                return known, key.index
            if lost and not (wanted is None and key is not None and key.created == before.created):
                # What is there may be of our making, but another writer may have had the same idea: a counter moved by
                # one, a job that was done and deleted. Nor does it prove anything that the old text is there again.
                raise _unconfirmed(path)
            lost = False
            if key is None or not _same(key, before):
                raise StaleRecord(now.record())
            known = key
    except EtcdormError as error:
        if not lost or isinstance(error, UnconfirmedError):
            raise
        raise _unconfirmed(path) from error


def _same(key: Key, before: Key) -> bool:
    return (key.value, key.created, key.reserved) == (before.value, before.created, before.reserved)


def _unconfirmed(path: Path) -> UnconfirmedError:
    return UnconfirmedError(
        f"{path}: the write was sent, its answer was lost, and what etcd holds now can't tell whether it happened; "
        "load the record before saving again"
    )
