"""Getting an index to commit at where no commit record is yet, and a lease where none is."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

from etcdorm.errors import EtcdormError
from etcdorm.path import Path
from etcdorm.store.types import StaleRecord
from etcdorm.v2.protocol.commit import COMMIT, LEASE, RESERVATION_TTL, lease_base, lease_name, reservation
from etcdorm.v2.protocol.land import land
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import EXISTS, Drop, Pause, Refused, Reserve, Steps, Swap, look, one

WAITS = 5
"""How often to wait for another writer that has made its lease and not committed yet."""


def claim(path: Path, id: str) -> Steps[Snapshot]:
    """Reserve ``@commit``; return a snapshot in which it is ours, or in which the remains of a record hold it.

    Raises: StaleRecord when there is a record; UnavailableError when it could not be found out in time.
    """
    outcome = yield from one(Reserve(path / COMMIT, reservation(id), RESERVATION_TTL))
    while True:
        snapshot = yield from look(path)
        key = snapshot.keys.get(COMMIT, snapshot.keys.get(""))
        if key is None:
            if isinstance(outcome, Refused) and outcome.code != EXISTS:
                raise outcome.error
            outcome = yield from one(Reserve(path / COMMIT, reservation(id), RESERVATION_TTL))
        elif key.reserved and key.value == reservation(id):
            return snapshot
        elif key.reserved:
            yield from _take_over(path, id, key, snapshot)
        elif snapshot.remains:
            return snapshot
        else:
            raise StaleRecord(snapshot.record())


def _take_over(path: Path, id: str, other: Key, snapshot: Snapshot) -> Steps[None]:
    """Wait a little for the maker of a reservation to go on; it has died if it does not.

    Taking its reservation is safe at any time: its commit would name an index that is gone then. The wait is there
    so that two who make the same record don't keep taking it from each other.
    """
    yield from one(Pause(random.uniform(0.1, 0.3)))
    again = yield from look(path)
    name = "" if snapshot.is_document else COMMIT
    if again.keys.get(name) == other and not snapshot.is_document:
        yield from one(Swap(path / COMMIT, reservation(id), other.index, RESERVATION_TTL))


def release(path: Path, snapshot: Snapshot) -> Steps[None]:
    """Give a claim back, so that nobody waits for it; if that fails it evaporates."""
    with suppress(EtcdormError):
        yield from one(Drop(path / COMMIT, snapshot.keys[COMMIT].index))


def make_lease(snapshot: Snapshot, id: str, ttl: int, tried: set[str]) -> Steps[tuple[Snapshot, str]]:
    """Make the ``@lease`` that the commit of transaction ``id`` will name. Its TTL runs from here.

    Nobody's record hangs on it before that commit, so it evaporates with no harm if there is none. Each attempt has a
    name of its own (``tried``): one that lands late, when the lease has run out already, must not be taken for it.
    A lease that somebody else has made for a commit over the same version is waited for a little; then the version is
    moved, so that it can't be named any more.

    Raises: StaleRecord when ``@commit`` has moved on meanwhile.
    """
    path, at, waits = snapshot.path, snapshot.keys[COMMIT].index, 0
    while True:
        key = snapshot.keys.get(LEASE)
        if key is not None and key.value in tried and lease_base(key.value) == at:
            return snapshot, key.value
        if key is None:
            name = lease_name(id, len(tried), at)
            tried.add(name)
            yield from one(Reserve(path / LEASE, name, ttl))
        elif snapshot.dead_lease is not None:
            yield from one(Drop(path / LEASE, key.index))
        elif waits < WAITS or snapshot.commit is None:
            waits += 1
            yield from one(Pause(0.2))
        else:
            at = yield from _move_version(snapshot, f"{id}.{len(tried)}.moved")
        snapshot = yield from look(path)
        head = snapshot.keys.get(COMMIT)
        if head is None or head.index != at:
            yield from drop_lease(snapshot, tried)
            raise StaleRecord(snapshot.record())


def drop_lease(snapshot: Snapshot, tried: set[str]) -> Steps[None]:
    """Give back a lease that the commit will not name, so that nobody waits for it; if that fails it evaporates."""
    key = snapshot.keys.get(LEASE)
    if key is not None and key.value in tried:
        with suppress(EtcdormError):
            yield from one(Drop(snapshot.path / LEASE, key.index))


def _move_version(snapshot: Snapshot, id: str) -> Steps[int]:
    """Commit the same again under another id."""
    old = snapshot.commit
    assert old is not None
    pending = {} if snapshot.applied else old.pending
    again = replace(old, id=id, earlier=old.history(), pending=pending)
    landed = yield from land(snapshot.path, again, at=snapshot.keys[COMMIT].index, after=old.id)
    return landed.index
