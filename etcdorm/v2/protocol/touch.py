"""Putting off the expiry of a record that lies in a directory."""

from __future__ import annotations

from etcdorm.errors import EtcdormError, LeaseLapsedError, UnconfirmedError, UsageError
from etcdorm.path import Path
from etcdorm.v2.protocol.apply import lapsed
from etcdorm.v2.protocol.commit import LEASE
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import MISMATCH, MISSING, Done, Lost, Refresh, Refused, Steps, look, one


def touch(base: Snapshot, ttl: int) -> Steps[Snapshot]:
    """Move the TTL of the lease that the record was loaded with, and of no other; the new base knows its index.

    One request, and a look and another one when somebody has moved it meanwhile. By its index, as everything: a request
    that lands late must not shorten what was set after it. A record that was deleted can be touched until its lease
    is cleared away: that one request does not see the rest of it.
    Raises: LeaseLapsedError; UsageError when the TTL was taken away meanwhile; UnconfirmedError.
    """
    assert base.commit is not None
    path, lease, key = base.path, base.commit.lease, base.keys[LEASE]
    lost = False
    try:
        while True:
            outcome = yield from one(Refresh(path / LEASE, ttl, index=key.index))
            if isinstance(outcome, Done):
                moved = Key(key.value, outcome.index, key.created, expires=True, ttl=ttl)
                return base.with_keys({LEASE: moved})
            if isinstance(outcome, Refused) and outcome.code not in (MISSING, MISMATCH):
                raise outcome.error
            lost = lost or isinstance(outcome, Lost)
            now = yield from look(path)
            found = now.keys.get(LEASE)
            if found is None or found.value != lease or now.commit is None or now.commit.lease != lease or now.lapsed:
                raise lapsed(path)
            if not found.expires:
                raise untimed(path)
            key = found
    except (LeaseLapsedError, UsageError):
        raise
    except EtcdormError as error:
        if lost:
            raise maybe_touched(path) from error
        raise


def untimed(path: Path) -> UsageError:
    return UsageError(f"{path} has no TTL to put off any more: a save has taken it away since this was loaded")


def maybe_touched(path: Path) -> UnconfirmedError:
    return UnconfirmedError(
        f"{path}: whether its expiry was put off can't be told: that was sent, its answer was lost, and so was a look "
        "at what became of it; refresh it again"
    )
