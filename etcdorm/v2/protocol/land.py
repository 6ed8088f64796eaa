"""The one request that is the commit, and settling it when its answer is lost."""

from __future__ import annotations

from dataclasses import dataclass

from etcdorm.errors import EtcdormError, UnconfirmedError
from etcdorm.path import Path
from etcdorm.store.types import StaleRecord
from etcdorm.v2.protocol.commit import COMMIT, Commit
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import MISMATCH, MISSING, Done, Lost, Refused, Steps, Swap, look, one


@dataclass(frozen=True, slots=True)
class Landed:
    """The commit happened, at ``index``; ``superseded`` when somebody has saved on top of it already."""

    index: int
    superseded: bool = False


def land(path: Path, commit: Commit, *, at: int, after: str | None) -> Steps[Landed]:
    """Swap ``@commit``, whose modifiedIndex must be ``at``; ``after`` is the id of the commit that stands there.

    Raises: StaleRecord when it is certain that the commit did not and will not happen; UnconfirmedError when its
    answer was lost and what is there now can't tell; UnavailableError when it was never sent.
    """
    lost: EtcdormError | None = None
    try:
        while True:
            outcome = yield from one(Swap(path / COMMIT, commit.text, at))
            if isinstance(outcome, Done):
                return Landed(outcome.index)
            if isinstance(outcome, Refused) and lost is None:
                if outcome.code not in (MISSING, MISMATCH):
                    raise outcome.error
                now = yield from look(path)
                raise StaleRecord(now.record())
            if isinstance(outcome, Lost):
                lost = outcome.error
            now = yield from look(path)
            landed = _settle(now, commit, at, after)
            if landed is not None:
                return landed
            # Still as it was: the same request again. At most one of the two can find the index it names.
    except EtcdormError as error:
        if lost is None or isinstance(error, UnconfirmedError):
            raise
        raise _unconfirmed(path) from error


def _settle(now: Snapshot, commit: Commit, at: int, after: str | None) -> Landed | None:
    """What became of a commit whose answer was lost; None when it has not landed yet and may be sent again."""
    head = now.keys.get(COMMIT)
    if head is not None and head.index == at:
        return None
    current = now.commit
    if head is not None and current is not None:
        if current.id == commit.id:
            return Landed(head.index)
        if commit.id in current.earlier:
            return Landed(at, superseded=True)
        if after is not None and after in current.earlier:
            # The chain from the version we started from is whole, and this commit is not in it.
            raise StaleRecord(now.record())
    # The record is gone, or was made anew: the commit may have landed and been deleted since.
    raise _unconfirmed(now.path)


def _unconfirmed(path: Path) -> UnconfirmedError:
    return UnconfirmedError(
        f"{path}: the save was sent, its answer was lost, and what etcd holds now can't tell whether it happened; "
        "load the record before saving again"
    )
