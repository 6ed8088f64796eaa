"""Deleting a record that lies in a directory: a tombstone is the commit, clearing away comes after."""

from __future__ import annotations

from etcdorm.errors import EtcdormError, LeaseLapsedError
from etcdorm.path import Path
from etcdorm.store.types import Owns, StaleRecord
from etcdorm.v2.protocol.apply import ATTEMPTS
from etcdorm.v2.protocol.commit import APPLIED, COMMIT, LEASE, Commit
from etcdorm.v2.protocol.fence import check
from etcdorm.v2.protocol.land import Landed, land
from etcdorm.v2.protocol.save import adopt, carried
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import Done, Drop, DropDirectory, Pause, Request, Steps, look, one


def remove(base: Snapshot, *, id: str, owns: Owns, token: int | None = None) -> Steps[None]:
    """Delete the record with all keys that ``owns`` accepts; others stay, and so does the directory then.

    Raises: StaleRecord when it is not as it was loaded; FencedRecord; LeaseLapsedError when it has expired since.
    """
    if base.commit is not None and base.commit.lease is not None and not base.lapsed:
        # What is left of it still has the commit that is known, and would be taken for the record.
        now = yield from look(base.path)
        if now.lapsed and now.commit == base.commit:
            raise LeaseLapsedError(f"{now.path}: the record's TTL ran out, so there was nothing to delete any more")
    landed = yield from _bury(base, id, owns, token)
    if landed.superseded:
        return
    try:
        yield from clear(base.path, id, owns)
    except EtcdormError:
        return  # the record is gone for every reader; whoever makes it anew clears the rest


def _bury(base: Snapshot, id: str, owns: Owns, token: int | None) -> Steps[Landed]:
    """Commit the tombstone.

    Raises: StaleRecord; FencedRecord.
    """
    while True:
        snapshot = base if base.commit is not None else (yield from adopt(base, id))
        old = snapshot.commit
        names = {name for name, _ in snapshot.plain() if owns(name)} | set(carried(snapshot))
        fence = old.fence if old is not None else None
        check(fence, token, snapshot.record)
        commit = Commit(id, old.history() if old else (), dict.fromkeys(sorted(names)), fence=fence, deleted=True)
        at = snapshot.keys[COMMIT].index
        try:
            return (yield from land(snapshot.path, commit, at=at, after=old.id if old else None))
        except StaleRecord as stale:
            if old is not None or (stale.current is not None and stale.current.version != 0):
                raise
            # Our reservation expired or was taken; adopting it again tells whether more has happened.


def clear(path: Path, id: str, owns: Owns) -> Steps[None]:
    """Clear away what the tombstone of transaction ``id`` still covers; anybody may, any number at once.

    That are the keys that it names, and those of the model that another tool had added by then.
    """
    for attempt in range(ATTEMPTS):
        snapshot = yield from look(path)
        if snapshot.commit is None or snapshot.commit.id != id:
            return
        work = _work(path, snapshot.commit, snapshot, owns)
        if work:
            outcomes = yield work
            if attempt and not all(isinstance(outcome, Done) for outcome in outcomes):
                yield from one(Pause(0.01 * attempt))
            continue
        if snapshot.plain():
            # Keys that our model does not know. Without the tombstone, a model that does would take them for a record.
            return
        outcome = yield from one(Drop(path / COMMIT, snapshot.keys[COMMIT].index))
        if isinstance(outcome, Done):
            yield from _drop_directories(snapshot)
            return


def _work(path: Path, commit: Commit, snapshot: Snapshot, owns: Owns) -> list[Request]:
    end = snapshot.keys[COMMIT].index
    added = [name for name, key in snapshot.plain() if owns(name) and key.index < end]
    names = dict.fromkeys((*commit.pending, *added, APPLIED))
    work: list[Request] = [Drop(path / name, snapshot.keys[name].index) for name in names if name in snapshot.keys]
    if (lease := snapshot.dead_lease) is not None:
        work.append(Drop(path / LEASE, lease.index))
    return work


def _drop_directories(snapshot: Snapshot) -> Steps[None]:
    """Without ``recursive``: a directory in which somebody has made something meanwhile stays."""
    left = [name for name in snapshot.keys if name != COMMIT]
    empty = [name for name in snapshot.directories if not any(key.startswith(f"{name}/") for key in left)]
    for name in sorted(empty, key=lambda name: name.count("/"), reverse=True):
        yield from one(DropDirectory(snapshot.path / name))
    if not left:
        yield from one(DropDirectory(snapshot.path))
