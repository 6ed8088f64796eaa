"""Deleting a record that lies in a directory: a tombstone is the commit, clearing away comes after."""

from __future__ import annotations

from etcdorm.errors import EtcdormError
from etcdorm.path import Path
from etcdorm.store.types import Owns
from etcdorm.v2.protocol.apply import ATTEMPTS
from etcdorm.v2.protocol.commit import APPLIED, COMMIT, LEASE, Commit
from etcdorm.v2.protocol.fence import check
from etcdorm.v2.protocol.land import land
from etcdorm.v2.protocol.save import adopt, carried
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import Done, Drop, DropDirectory, Pause, Request, Steps, look, one


def remove(base: Snapshot, *, id: str, owns: Owns, token: int | None = None) -> Steps[None]:
    """Delete the record with all keys that ``owns`` accepts; others stay, and so does the directory then.

    Raises: StaleRecord when it is not as it was loaded; FencedRecord.
    """
    if base.commit is None:
        base = yield from adopt(base, id)
    old = base.commit
    fence = old.fence if old is not None else None
    check(fence, token, base.record())
    names = {name for name, _ in base.plain() if owns(name)} | set(carried(base))
    commit = Commit(id, old.history() if old else (), dict.fromkeys(sorted(names)), fence=fence, deleted=True)
    landed = yield from land(base.path, commit, at=base.keys[COMMIT].index, after=old.id if old else None)
    if landed.superseded:
        return
    try:
        yield from clear(base.path, id)
    except EtcdormError:
        return  # the record is gone for every reader; whoever makes it anew clears the rest


def clear(path: Path, id: str) -> Steps[None]:
    """Clear away what the tombstone of transaction ``id`` still covers; anybody may, any number at once."""
    for attempt in range(ATTEMPTS):
        snapshot = yield from look(path)
        if snapshot.commit is None or snapshot.commit.id != id:
            return
        work = _work(path, snapshot.commit, snapshot)
        if work:
            outcomes = yield work
            if attempt and not all(isinstance(outcome, Done) for outcome in outcomes):
                yield from one(Pause(0.01 * attempt))
            continue
        if any(True for _ in snapshot.plain()):
            # Keys that our model does not know. Without the tombstone, a model that does would take them for a record.
            return
        outcome = yield from one(Drop(path / COMMIT, snapshot.keys[COMMIT].index))
        if isinstance(outcome, Done):
            yield from _drop_directories(snapshot)
            return


def _work(path: Path, commit: Commit, snapshot: Snapshot) -> list[Request]:
    names = [*commit.pending, APPLIED]
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
