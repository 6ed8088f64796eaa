"""Getting an index to commit at where no commit record is yet, and a lease where none is."""

from __future__ import annotations

import random

from etcdorm.path import Path
from etcdorm.store.types import StaleRecord
from etcdorm.v2.protocol.commit import COMMIT, LEASE, RESERVATION_TTL, reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import EXISTS, Drop, Pause, Refused, Reserve, Steps, Swap, look, one


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
    yield from one(Drop(path / COMMIT, snapshot.keys[COMMIT].index))


def reserve_lease(snapshot: Snapshot, id: str, tried: dict[str, str]) -> Steps[tuple[Snapshot, str]]:
    """Reserve ``@lease`` for the commit of transaction ``id``, which then names the lease that is returned.

    Each attempt of a transaction reserves under a name of its own (``tried``: lease by reservation): an attempt that
    lands late, when the lease has run out already, must not be taken for it. A lease that is there already is removed
    only when it is not a reservation: no commit names it, and none will. A reservation may be named at any moment by
    the commit of somebody else, whose record would vanish with it, so it is waited out.

    Raises: StaleRecord when ``@commit`` has moved on meanwhile.
    """
    path, at = snapshot.path, snapshot.keys[COMMIT].index
    while True:
        key = snapshot.keys.get(LEASE)
        if key is not None and key.value in tried:
            return snapshot, tried[key.value]
        if key is None:
            lease = f"{id}.{len(tried)}"
            tried[reservation(lease)] = lease
            yield from one(Reserve(path / LEASE, reservation(lease), RESERVATION_TTL))
        elif key.reserved:
            yield from one(Pause(0.2))
        else:
            yield from one(Drop(path / LEASE, key.index))
        snapshot = yield from look(path)
        head = snapshot.keys.get(COMMIT)
        if head is None or head.index != at:
            raise StaleRecord(snapshot.record())
