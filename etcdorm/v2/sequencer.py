"""Puts the events of a stream and of long polls into one order without a gap. Pure: it is told what came.

``stream=true`` is fast, but it starts late and may fall silent, or go on behind a gap, without a sign (facts, §6). A
long poll from an exact index tells for certain what the next event is, but only one at a time. So the polls close the
gap before a stream, and then go on beside it as a check: what a poll has and the stream does not shows a dead one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from etcdorm.v2.result import EtcdResult

SNAPSHOT_GAP = 5000
"""Raft entries that a follower is behind, at least, when it is sent a snapshot (etcd's DefaultSnapshotCatchUpEntries).

Only then does an open stream of its skip events and go on; see ``Sequencer.suspicion``.
"""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """From ``index`` up to ``end`` the stream may have skipped events; ``known`` are those that came."""

    index: int
    end: int
    known: frozenset[int]


class Sequencer:
    """The events of one watch: ``ready`` holds those that can be handed out, in order.

    ``next`` is the first index of which nothing is known yet: all events before it are in ``ready`` or were there.
    """

    def __init__(self, next: int) -> None:
        self.next = next
        self.ready: deque[EtcdResult] = deque()
        self.joined = False
        """The stream's events follow on what is known, so they can be handed out as they come."""
        self.unsure = False
        """The stream has brought events since it was last known to have skipped none."""
        self._held: deque[EtcdResult] = deque()
        self._opened: int | None = None
        self._last = 0
        self._sure = next
        self._raft = 0
        self._since: list[int] = []

    # -- the stream -------------------------------------------------------------------------------------------------

    def opened(self, index: int, raft_index: int) -> None:
        """A stream was opened when its member stood at ``index``; it brings every later event while it lives.

        Only when nothing is ``unsure``: where the next stream's member stands tells nothing of the last one's.
        """
        self.closed()
        self.verified(raft_index, self.next)
        self._opened = self._last = index
        if index < self.next:
            self.joined = True

    def streamed(self, event: EtcdResult) -> None:
        """An event came by the stream."""
        index = event.modifiedIndex
        if index <= self._last:
            return  # etcd streams a deletion of the watched key twice
        self._last = index
        if not self.joined:
            self._held.append(event)
        elif index >= self.next:
            self.ready.append(event)
            self._since.append(index)
            self.next = index + 1
            self.unsure = True

    def closed(self) -> None:
        """There is no stream any more; polls have to go on from ``next``."""
        self.joined = False
        self._opened = None
        self._held.clear()

    @property
    def held(self) -> int:
        """Events of the stream that wait for the gap before them to be closed."""
        return len(self._held)

    # -- the polls --------------------------------------------------------------------------------------------------

    def polled(self, event: EtcdResult) -> None:
        """A poll from ``next``, or from before it, brought the first event from there on; no stream is joined."""
        index = event.modifiedIndex
        if index < self.next:
            return
        if self.joined:
            raise AssertionError("a poll is ahead of a stream that is joined: close the stream first")
        self._join_before(index)
        self.ready.append(event)
        if self.unsure or self._opened is not None:
            self._since.append(index)
        self.next = index + 1
        self._join_after(index)

    def passed(self, index: int) -> None:
        """A poll from ``next`` has shown that nothing that counts came up to ``index``."""
        if index < self.next:
            return
        self._join_before(index + 1)
        self.next = max(self.next, index + 1)
        self._join_after(index)

    def behind(self, index: int) -> bool:
        """Whether an event of this index, which a poll brought, has not come by the stream."""
        return index >= self.next

    # -- the check for skipped events -------------------------------------------------------------------------------

    def suspicion(self, raft_index: int) -> Suspicion | None:
        """What the stream may have skipped until now, when its member's raft log stood at this index a moment ago.

        None when the member can't have been sent a snapshot before that moment: it took too few entries since it was
        last asked, or the stream was opened.
        """
        if not self.unsure or raft_index - self._raft < SNAPSHOT_GAP:
            return None
        return Suspicion(self._sure, self.next, frozenset(self._since))

    def verified(self, raft_index: int, end: int) -> None:
        """Nothing was skipped before ``end``; what has come from there on is judged by this raft index next time."""
        self._raft, self._sure = raft_index, end
        self._since = [index for index in self._since if index >= end]
        self.unsure = bool(self._since)

    def _join_before(self, index: int) -> None:
        """What the stream brought before ``index`` belongs before what a poll brought at ``index``."""
        while self._held and self._held[0].modifiedIndex < index:
            held = self._held.popleft()
            if held.modifiedIndex >= self.next:
                self.ready.append(held)
                self._since.append(held.modifiedIndex)
                self.next = held.modifiedIndex + 1
                self.unsure = True

    def _join_after(self, index: int) -> None:
        if self._opened is None or index < self._opened:
            return
        self.joined = True
        self._join_before(self._held[-1].modifiedIndex + 1 if self._held else 0)
