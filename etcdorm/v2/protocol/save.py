"""Saving a record that lies in a directory: made anew, changed, or taken over from other tools."""

from __future__ import annotations

from collections.abc import Mapping

from etcdorm.path import Path
from etcdorm.store.types import KEEP, FencedRecord, Owns, StaleRecord, Ttl
from etcdorm.v2.protocol.apply import Saved, apply, set_lease
from etcdorm.v2.protocol.claim import claim, drop_lease, make_lease, release
from etcdorm.v2.protocol.commit import COMMIT, Commit
from etcdorm.v2.protocol.fence import check, raised
from etcdorm.v2.protocol.land import land
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import Steps


def create(
    path: Path, fields: Mapping[str, str], *, id: str, owns: Owns, ttl: int | None, token: int | None = None
) -> Steps[Saved]:
    """Make a record that does not exist.

    Raises: StaleRecord when one exists, be it one that other tools made; FencedRecord.
    """
    tried: set[str] = set()
    while True:
        snapshot = yield from claim(path, id)
        if snapshot.commit is None and any(owns(name) for name, _ in snapshot.plain()):
            yield from release(path, snapshot)
            raise StaleRecord(snapshot.record())
        stray: dict[str, str | None] = dict.fromkeys(name for name, _ in snapshot.plain() if owns(name))
        stray |= dict.fromkeys(carried(snapshot))
        try:
            return (yield from _commit(snapshot, {**stray, **fields}, id=id, ttl=ttl, token=token, tried=tried))
        except FencedRecord:
            raise
        except StaleRecord as stale:
            if stale.current is not None:
                raise
            # Our reservation expired or was taken, and no record came of it: from the start.


def change(
    base: Snapshot,
    changes: Mapping[str, str | None],
    *,
    id: str,
    ttl: Ttl = KEEP,
    token: int | None = None,
    takes: bool = False,
) -> Steps[Saved]:
    """Change a record that was loaded; ``takes`` makes the token its fence, whatever that was.

    Raises: StaleRecord when it is not as it was loaded; FencedRecord; LeaseLapsedError.
    """
    if base.commit is not None:
        return (yield from _commit(base, {**carried(base), **changes}, id=id, ttl=ttl, token=token, takes=takes))
    while True:
        snapshot = yield from adopt(base, id)
        try:
            return (yield from _commit(snapshot, changes, id=id, ttl=ttl, token=token, takes=takes))
        except StaleRecord as stale:
            if stale.current is not None and stale.current.version != 0:
                raise
            # Our reservation expired or was taken; adopting it again tells whether more has happened.


def adopt(base: Snapshot, id: str) -> Steps[Snapshot]:
    """Claim a record that other tools made and no session ever saved.

    Raises: StaleRecord when any of its keys is not as it was loaded.
    """
    snapshot = yield from claim(base.path, id)
    if snapshot.commit is not None:
        raise StaleRecord(None)
    if _contents(snapshot) != _contents(base):
        yield from release(base.path, snapshot)
        raise StaleRecord(snapshot.record())
    return snapshot


def _contents(snapshot: Snapshot) -> dict[str, tuple[str, int]]:
    """What would have to be the same; not the TTL that another tool may have given a key, which counts down."""
    return {name: (key.value, key.created) for name, key in snapshot.plain()}


def carried(snapshot: Snapshot) -> Mapping[str, str | None]:
    """The changes of earlier saves that are not in the plain keys yet; the next commit takes them over."""
    return {} if snapshot.commit is None or snapshot.applied else snapshot.commit.pending


def _commit(
    base: Snapshot,
    pending: Mapping[str, str | None],
    *,
    id: str,
    ttl: Ttl,
    token: int | None = None,
    takes: bool = False,
    tried: set[str] | None = None,
) -> Steps[Saved]:
    """Commit over what ``base`` has at ``@commit``: a commit, the remains of one, or our reservation."""
    path, old = base.path, base.commit
    fence = old.fence if old is not None else None
    if not takes:
        check(fence, token, base.record)
    living = base.commit is not None and not base.remains
    # A lease is never taken out of a commit again, not even by ttl=None: the commit could land after the lease has run
    # out, and bring a record back to life. The lease itself loses its TTL then.
    lease = base.commit.lease if base.commit is not None and living else None
    tried = set() if tried is None else tried
    set_ttl = ttl is not KEEP
    if isinstance(ttl, int) and lease is None:
        base, lease = yield from make_lease(base, id, ttl, tried)
        ttl = KEEP  # it has it already
    timed = id if set_ttl else (old.timed if old is not None else None)
    commit = Commit(id, old.history() if old else (), pending, lease, timed, token if takes else raised(fence, token))
    try:
        landed = yield from land(path, commit, at=base.keys[COMMIT].index, after=old.id if old else None)
    except StaleRecord:
        yield from drop_lease(base, tried)
        raise
    mine = base.with_commit(commit, landed.index)
    if lease is not None and ttl is not KEEP:
        yield from set_lease(path, commit, ttl)
    if landed.superseded and lease is None:
        return Saved(mine)
    known = living or base.commit is None  # not so the remains of a record, whose writers may still be on their way
    trusted = known and base.applied and lease is None and None not in pending.values()
    return (yield from apply(commit, mine, trusted=trusted, expected=lambda: _expected(base, pending)))


def _expected(base: Snapshot, pending: Mapping[str, str | None]) -> dict[str, set[str]]:
    """The texts that each key may have by this save, or had before.

    What was carried over may still be on its way from the writers before us; the other keys are quiet, and show either
    what they held when they were loaded, or what we write.
    """
    plain = {name: key.value for name, key in base.plain()}
    quiet = pending.keys() - carried(base).keys()
    return {name: {text for text in (pending[name], plain.get(name)) if text is not None} for name in quiet}
