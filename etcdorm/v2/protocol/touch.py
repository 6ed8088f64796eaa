"""Putting off the expiry of a record that lies in a directory."""

from __future__ import annotations

from collections.abc import Callable

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
    lease = base.commit.lease

    def still(now: Snapshot) -> Key | None:
        found = now.keys.get(LEASE)
        if found is None or now.commit is None or now.lapsed:
            return None
        return found if found.value == lease == now.commit.lease else None

    key, index = yield from put_off(base.path, LEASE, base.keys[LEASE], ttl, still)
    return base.with_keys({LEASE: Key(key.value, index, key.created, expires=True, ttl=ttl)})


def put_off(
    path: Path, name: str, known: Key, ttl: int, still: Callable[[Snapshot], Key | None]
) -> Steps[tuple[Key, int]]:
    """Refresh the key ``name`` of the record at ``path``, as it is ``known`` or as ``still`` finds it in a look.

    Returns what it was just before, and its new modifiedIndex.
    Raises: LeaseLapsedError when ``still`` finds it no more; UsageError when its TTL was taken away meanwhile;
        UnconfirmedError.
    """
    lost = False
    try:
        while True:
            outcome = yield from one(Refresh(path / name, ttl, index=known.index))
            if isinstance(outcome, Done):
                return known, outcome.index
            if isinstance(outcome, Refused) and outcome.code not in (MISSING, MISMATCH):
                raise outcome.error
            lost = lost or isinstance(outcome, Lost)
            now = yield from look(path)
            found = still(now)
            if found is None:
                raise lapsed(now)
            if not found.expires:
                raise UsageError(
                    f"{path} has no TTL to put off any more: a save has taken it away since this was loaded"
                )
            known = found
    except (LeaseLapsedError, UsageError):
        raise
    except EtcdormError as error:
        if lost:
            raise maybe_touched(path) from error
        raise


def maybe_touched(path: Path) -> UnconfirmedError:
    return UnconfirmedError(
        f"{path}: whether its expiry was put off can't be told: that was sent, its answer was lost, and so was a look "
        "at what became of it; refresh it again"
    )
