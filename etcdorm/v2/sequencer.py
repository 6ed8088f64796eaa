"""Puts the events of a stream and of long polls into one order without a gap. Pure: it is told what came.

``stream=true`` is fast, but it starts late and may fall silent, or go on behind a gap, without a sign (facts, §6). A
long poll from an exact index tells for certain what the next event is, but only one at a time. So the polls close the
gap before a stream, and then go on beside it as a check: what a poll has and the stream does not shows a dead one.
"""

from __future__ import annotations

from collections import deque

from etcdorm.v2.result import EtcdResult

SNAPSHOT_GAP = 5000
"""Raft entries that a follower is behind, at least, when it is sent a snapshot (etcd's DefaultSnapshotCatchUpEntries).

Only then does an open stream of its skip events and go on; see ``Sequencer.probed``.
"""


class Sequencer:
    """The events of one watch: ``ready`` holds those that can be handed out, in order.

    ``next`` is the first index of which nothing is known yet: all events before it are in ``ready`` or were there.
    """

    def __init__(self, next: int) -> None:
        self.next = next
        self.ready: deque[EtcdResult] = deque()
        self.joined = False
        """The stream's events follow on what is known, so they can be handed out as they come."""
        self._held: deque[EtcdResult] = deque()
        self._opened: int | None = None
        self._last = 0
        self._sure = next
        self._raft = 0
        self._since: list[int] | None = None

    # -- the stream -------------------------------------------------------------------------------------------------

    def opened(self, index: int, raft_index: int) -> None:
        """A stream was opened when its member stood at ``index``; it brings every later event while it lives."""
        self.closed()
        self._raft, self._since, self._sure = raft_index, [], self.next
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
            self._take(event, index)

    def closed(self) -> None:
        """There is no stream any more; polls have to go on from ``next``."""
        self.joined = False
        self._opened = None
        self._held.clear()
        self._since = None

    @property
    def held(self) -> int:
        """Events of the stream that wait for the gap before them to be closed."""
        return len(self._held)

    # -- the polls --------------------------------------------------------------------------------------------------

    def polled(self, event: EtcdResult) -> None:
        """A poll from ``next``, or from before it, brought the first event from there on."""
        index = event.modifiedIndex
        if index < self.next:
            return
        if self.joined:
            raise AssertionError("a poll is ahead of a stream that is joined: close the stream first")
        self._join_before(index)
        self._take(event, index)
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

    def probed(self, raft_index: int) -> tuple[int, list[int]] | None:
        """A poll was registered with the stream's own member, which stood at this raft index.

        None when the stream can't have skipped anything since the last such probe or its opening. Otherwise the member
        may have been sent a snapshot: the answer is the index from which on nothing is sure, and those that were handed
        out since.
        """
        before, since, sure = self._raft, self._since, self._sure
        self._raft, self._since, self._sure = raft_index, [], self.next
        if since is None or raft_index - before < SNAPSHOT_GAP:
            return None
        return sure, since

    def _take(self, event: EtcdResult, index: int) -> None:
        self.ready.append(event)
        self.next = index + 1
        if self._since is not None:
            self._since.append(index)

    def _join_before(self, index: int) -> None:
        """What the stream brought before ``index`` belongs before what a poll brought at ``index``."""
        while self._held and self._held[0].modifiedIndex < index:
            held = self._held.popleft()
            if held.modifiedIndex >= self.next:
                self._take(held, held.modifiedIndex)

    def _join_after(self, index: int) -> None:
        if self._opened is None or index < self._opened:
            return
        self.joined = True
        self._join_before(self._held[-1].modifiedIndex + 1 if self._held else 0)
