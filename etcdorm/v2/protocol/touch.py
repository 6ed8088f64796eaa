"""Putting off the expiry of a record that lies in a directory."""

from __future__ import annotations

from etcdorm.errors import UsageError
from etcdorm.v2.protocol.apply import lapsed
from etcdorm.v2.protocol.commit import LEASE
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import MISMATCH, MISSING, Done, Refresh, Refused, Steps, look, one


def touch(base: Snapshot, ttl: int) -> Steps[Snapshot]:
    """Move the TTL of the lease that the record was loaded with, and of no other; the new base knows its index.

    One request, and a look and another one when somebody has moved it meanwhile. By its index, as everything: a request
    that lands late must not shorten what was set after it.
    Raises: LeaseLapsedError; UsageError when the TTL was taken away meanwhile.
    """
    assert base.commit is not None
    path, lease, key = base.path, base.commit.lease, base.keys[LEASE]
    while True:
        outcome = yield from one(Refresh(path / LEASE, ttl, index=key.index))
        if isinstance(outcome, Done):
            moved = Key(key.value, outcome.index, key.created, expires=True, ttl=ttl)
            return base.with_keys({LEASE: moved})
        if isinstance(outcome, Refused) and outcome.code not in (MISSING, MISMATCH):
            raise outcome.error
        now = yield from look(path)
        found = now.keys.get(LEASE)
        if found is None or found.value != lease or now.commit is None or now.commit.lease != lease or now.lapsed:
            raise lapsed(path)
        if not found.expires:
            raise UsageError(f"{path} has no TTL to put off any more: a save has taken it away since this was loaded")
        key = found
