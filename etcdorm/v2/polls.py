"""Long polls one after the other, each checked for what it may have skipped.

A member that was away for long is brought up to date by a snapshot, and every watch that is open on it, a long poll
too, silently skips what that holds (facts, §6). A poll that answers from the history at once is sure; one that has
waited is sure only if its member took fewer raft entries meanwhile than a snapshot replaces, which the next poll tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from etcdorm.v2.errors import EtcdConnectionFailed, EtcdEventIndexCleared, EtcdUnavailable, EtcdWatchTimedOut
from etcdorm.v2.result import EtcdResult
from etcdorm.v2.sequencer import SNAPSHOT_GAP
from etcdorm.v2.source import Source

_AT_ONCE = 0.5
"""Seconds in which a member that has registered a poll answers from its history."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A poll from ``index`` has waited at ``member``, since the store stood at ``began``, and brought the event at
    ``found``."""

    index: int
    began: int
    found: int
    member: str
    raft_index: int


class Polls:
    """The polls of one watch."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._doubt: _Doubt | None = None
        self._turn = 0

    async def poll(self, index: int, *, wait: float) -> EtcdResult:
        """The first event from ``index`` on.

        Raises: EtcdWatchTimedOut; EtcdEventIndexCleared, also when an earlier poll turns out to have skipped events;
            EtcdWatcherCleared; EtcdUnavailable when the member does not answer.
        """
        member = self._choose()
        try:
            event = await self._source.poll(index, wait=wait, at=member)
        except EtcdWatchTimedOut as error:
            await self._clear_doubt(member, error.raft_index)
            self._turn += 1  # another member's turn, for one that is cut off does not know that it is
            raise
        except EtcdConnectionFailed:
            await self._clear_doubt(None, 0)
            raise
        await self._clear_doubt(member, event.raft_index)
        if event.modifiedIndex > event.etcd_index:  # it was not there when the poll began
            self._doubt = _Doubt(index, event.etcd_index, event.modifiedIndex, member, event.raft_index)
        return event

    async def settle(self) -> None:
        """Make sure that the last poll has skipped nothing, when no other follows it.

        Raises: EtcdEventIndexCleared when it has; EtcdUnavailable when nobody can tell.
        """
        if self._doubt is not None:
            member = self._doubt.member
            try:
                raft_index = await self._source.raft_index(member)
            except EtcdConnectionFailed:
                await self._clear_doubt(None, 0)
            else:
                await self._clear_doubt(member, raft_index)

    def _choose(self) -> str:
        return self._by_turns() if self._doubt is None else self._doubt.member

    def _by_turns(self) -> str:
        best, others = self._source.best, self._source.endpoints
        return best if self._turn % 2 == 0 else others[self._turn // 2 % len(others)]

    async def _clear_doubt(self, member: str | None, raft_index: int) -> None:
        """Look again from where the last poll began, unless its member is known to have been sent no snapshot.

        Raises: EtcdEventIndexCleared when that poll has skipped an event; EtcdUnavailable when nobody can tell.
        """
        doubt = self._doubt
        if doubt is None:
            return
        # A member tells the raft index of a snapshot before its store has taken it over, so the store's own counts too.
        most = max(raft_index - doubt.raft_index, doubt.found - doubt.began)
        if member == doubt.member and most < SNAPSHOT_GAP:
            self._doubt = None
            return
        index = doubt.index
        while index <= doubt.found:
            try:
                event = await self._source.poll(index, wait=_AT_ONCE, at=member or self._by_turns())
            except EtcdConnectionFailed as error:  # the doubt stays
                self._turn += 1
                raise EtcdUnavailable(f"what a poll may have skipped can't be looked up: {error}") from error
            if event.modifiedIndex > doubt.found or (
                event.modifiedIndex < doubt.found and self._source.concerns(event)
            ):
                raise skipped(self._source.name, event.modifiedIndex, await self._source.now())
            index = event.modifiedIndex + 1
        self._doubt = None


def skipped(name: str, index: int, now: int) -> EtcdEventIndexCleared:
    return EtcdEventIndexCleared(
        f"watch of {name}: the member that was watched was sent a snapshot, and skipped the event at index {index}; "
        "read the keys anew, and watch from the index of that answer + 1",
        index=now,
    )


def made_anew(name: str, index: int, now: int) -> EtcdEventIndexCleared:
    return EtcdEventIndexCleared(
        f"watch of {name}: the store stands at index {now}, before {index}, so it was made anew; "
        "read the keys anew, and watch from the index of that answer + 1",
        index=now,
    )
