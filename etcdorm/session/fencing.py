"""Locks of records: where they lie, the token that goes with a write under one, and what its refusal means."""

from __future__ import annotations

import logging
from typing import TypeVar

from etcdorm.errors import LockLostError
from etcdorm.mapping import EtcdModel, Place, Schema, place_of, set_place
from etcdorm.mapping.records import is_ours
from etcdorm.path import Path, encode_segment
from etcdorm.recipes import Claim, holding
from etcdorm.store import FencedRecord, Record, StaleRecord, Store

M = TypeVar("M", bound=EtcdModel)

_log = logging.getLogger("etcdorm.lock")

LOCKS = Path.parse("/_etcdorm/locks")
"""Where locks lie; hidden, so that listings from above don't show them."""


def lock_path(name: str | Path) -> Path:
    """The queue for the lock of a name, or of a record."""
    return LOCKS / encode_segment(str(name))


async def token_for(store: Store, path: Path) -> int | None:
    """The token for a write to a record, if this code runs under its lock; that of this session, if there are several.

    Raises: LockLostError when that is not held for certain any more.
    """
    for held in sorted(holding(), key=lambda held: (held.store is store, held.token), reverse=True):
        is_here = held.record == path and held.store.namespace == store.namespace
        if is_here and held.origin == await store.origin():
            if not held.valid:
                raise LockLostError(
                    f"{store.namespace}{path}: its lock, under which this call was made, is lost "
                    f"({held.lease.reason}), so nothing was written"
                )
            return held.token
    return None


def check(stale: StaleRecord, where: str, token: int | None) -> None:
    """Raise LockLostError when a write was refused because somebody else has had the lock since."""
    later = stale.current.fence if stale.current is not None else None
    if token is not None and (isinstance(stale, FencedRecord) or (later is not None and later > token)):
        raise LockLostError(
            f"{where}: its lock, under which this call was made, is lost: somebody else has had it since (this one's "
            f"token is {token}, the record's {'a later one' if later is None else later}), so nothing was written"
        ) from None


async def fence(store: Store, schema: Schema[M], path: Path, model: M | None, held: Claim) -> None:
    """Write a lock's token into the record at a path, and so move its version; an object that was current stays so.

    Raises: LockLostError when somebody else has had the lock since.
    """
    held.record = path
    place = None if model is None else place_of(model)
    mine = None
    if place is not None and place.path == str(path) and place.record.namespace == store.namespace:
        mine = place.record if place.record.origin in ("", await store.origin()) else None
    while True:
        record = await store.read(path, fresh=True)
        if record is None or not is_ours(schema, record):
            return  # nothing to guard
        await _check_later(store, record, held)
        base = mine if mine is not None and mine.version == record.version else record
        try:
            fenced = await store.fence(base, held.token)
        except StaleRecord:
            # It is not as this object was loaded, not even where its version is: 0, while no session saved it.
            mine = None
            continue
        if base is mine and model is not None and place_of(model) is place:
            set_place(model, Place.of(fenced))
        return


async def _check_later(store: Store, record: Record, held: Claim) -> None:
    """Find out what it means that a record has a fence that is later than the lock.

    Raises: LockLostError.
    """
    if record.fence is None or record.fence <= held.token:
        return
    if await store.read(held.place, fresh=True) is None:
        raise LockLostError(f"{record.where}: its lock was lost while it was taken, and somebody else has had it since")
    # The place in the queue is ours still, so nobody can have come after: the record is from another cluster, whose
    # numbers were greater.
    _log.warning("%s: its fence %d is none of this cluster's, and replaced", record.where, record.fence)
