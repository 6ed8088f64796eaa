"""A watch that keeps up with fast writers: a stream that is drained at once, and long polls beside it that check it.

See ``etcdorm.v2.sequencer`` for why both are needed, and docs/design.md for what is known to go wrong with streams.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from pydantic_core import from_json

from etcdorm.finish import end
from etcdorm.v2.errors import (
    EtcdConnectionFailed,
    EtcdEventIndexCleared,
    EtcdException,
    EtcdMisconfigured,
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
)
from etcdorm.v2.pace import Pace
from etcdorm.v2.polls import Polls, made_anew, skipped
from etcdorm.v2.result import Body, EtcdResult, from_body
from etcdorm.v2.sequencer import Sequencer
from etcdorm.v2.source import Source
from etcdorm.v2.transport import AnswerLost, Streamed

_log = logging.getLogger("etcdorm.v2")

_LONGEST_POLL = 10.0
"""Seconds that a poll waits beside a quiet stream."""

_GRACE, _LAG = 0.1, 1.0
"""Seconds that the stream may be behind a poll of its own member, or of another one, before it counts as dead.

A false alarm costs a new stream, and, with a fast writer, events: polls alone can't make up for many.
"""

_STEPS = 10

_CHECK = 0.05
"""Seconds between two checks of a busy stream; at 10,000 writes a second they are 500 of the history's 1000 events."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
"""Seconds between two tries to open a stream, or to poll when nobody answers."""

_BUFFER = 65_536
"""Events that may wait for a slow consumer; beyond them the stream is given up until they are taken."""


class Streaming:
    """The events of a source from an index on, in order and without a gap, for as long as ``run`` runs.

    ``take`` hands out the next event, ``None`` when there is none yet. What ends the watch is in ``failure``, to be
    raised when all events before it are taken.
    """

    def __init__(self, source: Source, index: int) -> None:
        self._source = source
        self._polls = Polls(source)
        self._buffer = _BUFFER
        self._sequencer = Sequencer(index)
        self._ready = self._sequencer.ready
        self._pace = Pace(_LONGEST_POLL)
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._member: str | None = None
        self._number = 0
        self._turn = 0
        self._broken = False
        self.failure: BaseException | None = None

    @property
    def connected(self) -> bool:
        """Whether events come; before the first stream is there, as long as nothing has failed."""
        return self.failure is None and (self._sequencer.joined or not self._broken)

    def take(self) -> EtcdResult | None:
        if not self._ready:
            return None
        event = self._ready.popleft()
        if not self._ready:
            self._emptied.set()
        return event

    async def arrival(self) -> None:
        """Wait for an event, or for the end."""
        while not self._ready and self.failure is None:
            self._arrived.clear()
            await self._arrived.wait()

    # -- the polls --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring events until cancelled, or until the watch can't go on, which is then in ``failure``.

        Cancel: both connections are dropped, and nothing is left.
        """
        pause = _FIRST_PAUSE
        try:
            while self.failure is None:
                await self._make_room()
                if self._reader is None:
                    self._reader = asyncio.create_task(self._read_streams(), name=f"etcdorm stream {self._source.name}")
                elif self._reader.done():
                    await self._drop_stream()
                    continue
                try:
                    await (self._check() if self._sequencer.joined else self._fill())
                    pause = _FIRST_PAUSE
                except EtcdConnectionFailed as error:
                    self._broken = True
                    _log.warning("watch of %s: %s; trying on", self._source.name, error)
                    await asyncio.sleep(pause)
                    pause = min(_LONGEST_PAUSE, pause * 2)
        except EtcdException as error:
            self.fail(error)
        finally:
            await self._drop_stream()

    async def _fill(self) -> None:
        """Close the gap before the stream by one event; while there is no stream, go on without it."""
        sequencer = self._sequencer
        index, began = sequencer.next, self._time()
        try:
            event = await self._polls.poll(index, wait=self._pace.seconds)
        except EtcdWatchTimedOut as error:
            await self._passed(index, error, began)
        except EtcdEventIndexCleared:
            if sequencer.next == index:
                raise
        except EtcdWatcherCleared:
            pass
        else:
            if sequencer.joined:
                return  # the stream was opened meanwhile, and brings it
            if self._source.concerns(event):
                sequencer.polled(event)
            else:
                sequencer.passed(event.modifiedIndex)
            self._arrived.set()

    async def _check(self) -> None:
        """Look by one poll whether the stream brings what it should."""
        await self._polls.settle()
        sequencer, member, number = self._sequencer, self._member, self._number
        index, at, began = sequencer.next, self._member_to_ask(), self._time()
        if member is None or at is None:
            return
        own = at == member
        try:
            event = await self._source.poll(index, wait=self._pace.seconds, at=at)
            raft_index = event.raft_index
        except EtcdWatchTimedOut as error:
            if own and number == self._number:
                await self._check_for_skips(error.raft_index, index)
            await self._passed(index, error, began)
            return
        except EtcdEventIndexCleared:
            await self._until_streamed(index, _GRACE)
            if sequencer.next == index:
                raise
            raft_index = await self._source.raft_index(member)  # the refusal does not tell it
            own = True
        except EtcdWatcherCleared:
            return
        except EtcdMisconfigured:
            raise  # what must be mended by hand is not to be waited for
        except EtcdConnectionFailed as error:
            await self._no_answer(at, error)
            return
        else:
            if not self._source.concerns(event):
                sequencer.passed(event.modifiedIndex)
                return
            # Another member may be ahead of the stream's, which is no fault.
            await self._until_streamed(event.modifiedIndex, _GRACE if own else _LAG)
            if sequencer.joined and sequencer.behind(event.modifiedIndex):
                _log.info("watch of %s: the stream from %s fell silent", self._source.name, member)
                if not own:
                    self._source.suspect(member)
                await self._drop_stream()  # and the next poll gets this event from the history
                return
        if own and number == self._number:
            await self._check_for_skips(raft_index, index)
        await asyncio.sleep(_CHECK)

    def _member_to_ask(self) -> str | None:
        """The stream's own member and the others in turns, for a member that is cut off does not know that it is."""
        self._turn += 1
        others = [url for url in self._source.endpoints if url != self._member]
        if self._turn % 2 == 0 and others:
            return others[self._turn // 2 % len(others)]
        return self._member

    async def _passed(self, index: int, error: EtcdWatchTimedOut, began: float) -> None:
        """A poll from ``index`` has seen nothing."""
        self._pace.registered(error.index, began)
        if error.index + 1 < index:
            await self._check_history(index)
        else:
            self._sequencer.passed(error.index)
            self._arrived.set()

    async def _no_answer(self, at: str, error: EtcdConnectionFailed) -> None:
        _log.info("watch of %s: no answer to its check: %s", self._source.name, error)
        if at == self._member:
            await self._drop_stream()
        else:
            await asyncio.sleep(_CHECK)

    async def _until_streamed(self, index: int, seconds: float) -> None:
        """Wait until the stream has brought an event, but for so many seconds at most."""
        for _ in range(_STEPS):  # so that what came while this process was busy is taken in first
            if not (self._sequencer.behind(index) and self._sequencer.joined):
                return
            await asyncio.sleep(seconds / _STEPS)

    async def _check_history(self, index: int) -> None:
        """The member that was polled is behind, or the whole store was made anew and the index will not come."""
        now = await self._source.now()
        if now + 1 < index:
            self.fail(made_anew(self._source.name, index, now))

    async def _check_for_skips(self, raft_index: int, end: int, at: str | None = None) -> None:
        """Look whether the stream has skipped events, when its member may have been sent a snapshot.

        ``raft_index`` is where that member stood, or what it had not passed, at a moment after all before ``end`` had
        come; what has come since then is left to the next look, unless there is a suspicion.
        Raises: EtcdEventIndexCleared; EtcdConnectionFailed when it can't be told, so that it has to be asked again.
        """
        sequencer = self._sequencer
        suspicion = sequencer.suspicion(raft_index)
        if suspicion is not None:
            index, end, member = suspicion.index, suspicion.end, at or self._member or self._source.best
            while index < end:
                try:
                    event = await self._source.poll(index, wait=_GRACE, at=member)
                except EtcdWatchTimedOut as error:
                    if error.index + 1 < end:
                        raise  # that member is behind
                    break
                found = event.modifiedIndex
                if found < end and found not in suspicion.known and self._source.concerns(event):
                    raise skipped(self._source.name, found, await self._source.now())
                index = found + 1
        sequencer.verified(raft_index, end)

    async def _make_room(self) -> None:
        if len(self._ready) + self._sequencer.held < self._buffer:
            return
        _log.warning("watch of %s: %d events wait to be taken; no more are kept", self._source.name, self._buffer)
        await self._drop_stream()
        while self._ready:
            self._emptied.clear()
            await self._emptied.wait()

    # -- the stream -------------------------------------------------------------------------------------------------

    async def _read_streams(self) -> None:
        """Open a stream, drain it, and open another when it breaks."""
        pause = _FIRST_PAUSE
        while self.failure is None:
            began = self._time()
            try:
                await self._settle()
                async with self._source.stream() as (member, streamed):
                    self._sequencer.opened(streamed.index, streamed.raft_index)
                    self._member = member
                    self._number += 1
                    if streamed.index + 1 < self._sequencer.next:
                        await self._check_history(self._sequencer.next)
                    await self._drain(streamed)
            except EtcdConnectionFailed as error:
                _log.info("watch of %s: %s; another stream is opened", self._source.name, error)
            except EtcdException as error:
                self.fail(error)
            finally:
                self._broken = True
                self._sequencer.closed()
                self._member = None
                self._number += 1  # a check that is under way is none of the next stream's
            if self._time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _settle(self) -> None:
        """Before another stream is opened: make sure that the last one has skipped nothing up to its end."""
        while self._sequencer.unsure:
            end = self._sequencer.next
            raft_index = await self._source.raft_index()
            self._turn += 1
            endpoints = self._source.endpoints
            await self._check_for_skips(raft_index, end, endpoints[self._turn % len(endpoints)])

    async def _drain(self, streamed: Streamed) -> None:
        """Read a stream to its end, or until no more can be kept."""
        sequencer, concerns, rest = self._sequencer, self._source.concerns, b""
        index, raft_index = streamed.index, streamed.raft_index
        while chunk := await streamed.read():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                if line:
                    event = _event(line, index, raft_index)
                    if concerns(event):
                        sequencer.streamed(event)
            self._arrived.set()
            if len(self._ready) + sequencer.held >= self._buffer:
                break

    @staticmethod
    def _time() -> float:
        return asyncio.get_running_loop().time()

    async def _drop_stream(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            try:
                await end(reader)
            finally:
                if not reader.cancelled() and (error := reader.exception()) is not None:
                    self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the watch by an error, behind the events that are there."""
        if self.failure is None:
            self.failure = error
        self._arrived.set()


def _event(line: bytes, index: int, raft_index: int) -> EtcdResult:
    try:
        return from_body(cast(Body, from_json(line)), etcd_index=index, raft_index=raft_index, new=False)
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerLost(f"what is streamed is no event of etcd's ({type(error).__name__})", index) from error
