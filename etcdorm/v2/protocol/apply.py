"""After the commit: bring the plain keys up to date, keep the lease, move ``@applied``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from etcdorm.errors import DecodeError, EtcdormError, LeaseLapsedError, UnconfirmedError
from etcdorm.path import Path
from etcdorm.v2.protocol.commit import APPLIED, BOOKKEEPING, COMMIT, LEASE, RESERVATION_TTL, Commit, reservation
from etcdorm.v2.protocol.snapshot import Key, Snapshot
from etcdorm.v2.protocol.steps import (
    EXISTS,
    NOT_DIR,
    NOT_EMPTY,
    NOT_FILE,
    Done,
    Drop,
    DropDirectory,
    Outcome,
    Pause,
    Refresh,
    Refused,
    Request,
    Reserve,
    Steps,
    Swap,
    Write,
    look,
    one,
)

ATTEMPTS = 30
"""How often to look again before leaving the rest to the next save; readers see the commit all the same."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A save that has happened.

    ``snapshot`` is the record as its writer knows it, the base of its next save. ``overwritten`` names keys in which
    an edit made by another tool was replaced. ``unapplied`` is why the plain keys are not all up to date, if so.
    """

    snapshot: Snapshot
    overwritten: frozenset[str] = frozenset()
    unapplied: EtcdormError | None = None


Expected = Callable[[], Mapping[str, Set[str]]]
"""Tells the texts that a pending key may have by this save or the ones before: any other is an edit from outside."""


def apply(commit: Commit, mine: Snapshot, *, trusted: bool, expected: Expected) -> Steps[Saved]:
    """Bring every pending key to where it should be, then ``@applied``; stop when somebody else has committed.

    ``mine`` is the record as it was loaded, with the new ``@commit`` in it. Its indexes may be worked from
    (``trusted``) only when the commit deletes nothing, takes nothing over and has no lease to check.
    Raises: LeaseLapsedError; UnconfirmedError when no look has shown that the lease was still there.
    """
    path, exists = mine.path, commit.lease is None
    overwritten: set[str] = set()
    snapshot = mine if trusted else None
    quiet = 0 if trusted else mine.keys[COMMIT].index
    looked = False
    obstacles: list[str] = []
    try:
        for attempt in range(ATTEMPTS):
            if snapshot is None:
                snapshot, looked = (yield from look(path)), True
                if _has_lapsed(commit, snapshot):
                    raise lapsed(snapshot)
                if snapshot.commit is None or snapshot.commit.id != commit.id:
                    return Saved(mine, frozenset(overwritten))
                exists = True
            work = list(_work(path, commit, snapshot, quiet))
            if looked:
                overwritten |= _foreign(snapshot, expected())
            if work:
                outcomes = yield work
                snapshot = _after(path, snapshot, work, outcomes)
                if snapshot is None:
                    before, obstacles = obstacles, _obstacles(work, outcomes)
                    if obstacles and obstacles == before:  # the first time, somebody may be about to take it away
                        return Saved(mine, frozenset(overwritten), EtcdormError("; ".join(obstacles)))
                    if attempt:
                        yield from one(Pause(0.01 * attempt))
                    continue
            key = snapshot.keys[APPLIED]
            outcome = yield from one(Swap(path / APPLIED, commit.id, key.index))
            if isinstance(outcome, Done):
                done = snapshot.with_keys({APPLIED: Key(commit.id, outcome.index, key.created)})
                return Saved(_as_known(mine, done) if looked else done, frozenset(overwritten))
            snapshot = None
    except LeaseLapsedError:
        raise
    except EtcdormError as error:
        if not exists:
            raise UnconfirmedError(
                f"{path}: the save was committed, but whether its TTL had run out by then can't be told ({error}); "
                "load the record and look"
            ) from error
        return Saved(mine, frozenset(overwritten), error)
    return Saved(mine, frozenset(overwritten), EtcdormError(f"{path}: other writers kept moving the keys"))


def set_lease(path: Path, commit: Commit, ttl: int | None) -> Steps[None]:
    """Give the lease that ``commit`` kept another TTL (None: it never expires again), if no later commit was to.

    Raises: LeaseLapsedError; UnconfirmedError when it can't be told that it was done.
    """
    try:
        while True:
            snapshot = yield from look(path)
            now, key = snapshot.commit, snapshot.keys.get(LEASE)
            if now is None or now.deleted or (now.lease, now.timed) != (commit.lease, commit.id):
                return
            if key is None or snapshot.lapsed:
                raise lapsed(snapshot)
            at = path / LEASE
            request = Swap(at, key.value, key.index) if ttl is None else Refresh(at, ttl, index=key.index)
            outcome = yield from one(request)
            if isinstance(outcome, Done):
                return
    except LeaseLapsedError:
        raise
    except EtcdormError as error:
        raise UnconfirmedError(
            f"{path}: the fields were saved, but whether the TTL was changed can't be told ({error}); "
            "load the record and look"
        ) from error


def lapsed(now: Snapshot) -> LeaseLapsedError:
    """The error for a record that is found to have ended; another one may stand in its place."""
    try:
        is_there = now.record() is not None
    except DecodeError:
        is_there = True
    if is_there:
        return LeaseLapsedError(
            f"{now.path}: the record that this object was loaded from does not exist any more, as its TTL ran out or "
            "it was replaced; the one that stands there now was made anew: load that"
        )
    return LeaseLapsedError(
        f"{now.path}: its TTL ran out before this call could keep it, so the record does not exist any more; "
        "save the object as a new one to register again"
    )


def _has_lapsed(commit: Commit, now: Snapshot) -> bool:
    """Whether the record of this commit has come to its end by its TTL; what another one has made of its remains has
    another lease. Once it is deleted that can't be told any more."""
    if commit.lease is None or now.commit is None or now.commit.deleted:
        return False
    return now.lapsed or now.commit.lease != commit.lease


def _work(path: Path, commit: Commit, snapshot: Snapshot, quiet: int) -> Iterator[Write]:
    """What is to be done to the keys as they stand. All of it names an exact index; a key that is not there is only
    reserved, and gets its value after another look has shown that ``@commit`` is still ours.

    A key that holds its text already, at an index before ``quiet``, is written all the same: a writer before us, whose
    changes we have taken over, may have sent a write or a delete for that index, which could still land.
    """
    for name, text in commit.pending.items():
        key = snapshot.keys.get(name)
        if key is None:
            if text is None:
                continue
            if name in snapshot.directories:
                yield DropDirectory(path / name)
            else:
                yield Reserve(path / name, reservation(commit.id), RESERVATION_TTL)
        elif text is None:
            yield Drop(path / name, key.index)  # a reservation too: its maker may be about to swap it
        elif key.value != text or key.reserved or key.index < quiet:
            yield Swap(path / name, text, key.index)
    if APPLIED not in snapshot.keys:
        yield Reserve(path / APPLIED, reservation(commit.id), RESERVATION_TTL)
    if (lease := snapshot.dead_lease) is not None:
        yield Drop(path / LEASE, lease.index)


def _as_known(mine: Snapshot, now: Snapshot) -> Snapshot:
    """The record as it is now, but with the texts that its writer knows, for the next save to be compared with.

    What another tool has written meanwhile to a key that this save did not change is not in the writer's object. As the
    base of its next save it would look as if the object had been edited, and be undone. Such a key keeps the index that
    it had, so that a save which does change it notices.
    """
    keys = {name: key for name, key in now.keys.items() if name in BOOKKEEPING}
    for name, text in mine.fields().items():
        key, known = now.keys.get(name), mine.keys.get(name)
        if key is not None and key.value == text and not key.reserved:
            keys[name] = key
        elif known is not None:
            keys[name] = replace(known, value=text)
    return replace(now, keys=keys)


def _foreign(snapshot: Snapshot, expected: Mapping[str, Set[str]]) -> set[str]:
    return {
        name
        for name, texts in expected.items()
        if (key := snapshot.keys.get(name)) is not None and not key.reserved and key.value not in texts
    }


def _obstacles(work: Sequence[Write], outcomes: Sequence[Outcome]) -> list[str]:
    """What is in the way of all the work that is left, where that is keys and directories of others; else nothing."""
    found = []
    for request, outcome in zip(work, outcomes, strict=True):
        code = outcome.code if isinstance(outcome, Refused) else None
        if code in (NOT_FILE, NOT_EMPTY, EXISTS):  # what exists and is not to be seen is a directory of other records
            found.append(f"{request.path} is a directory with something in it, where a value has to be")
        elif code == NOT_DIR:
            found.append(f"{request.path} has to lie in a directory, where there is a key")
        else:
            return []
    return found


def _after(path: Path, snapshot: Snapshot, work: Sequence[Request], outcomes: Sequence[Outcome]) -> Snapshot | None:
    """The snapshot with the work done to it; None when it has to be looked at again."""
    changed: dict[str, Key | None] = {}
    for request, outcome in zip(work, outcomes, strict=True):
        if not isinstance(outcome, Done):
            return None
        match request:
            case Swap(at, value):
                name = path.relative(at)
                changed[name] = Key(value, outcome.index, snapshot.keys[name].created)
            case Drop(at):
                changed[path.relative(at)] = None
            case _:
                return None
    return snapshot.with_keys(changed)
