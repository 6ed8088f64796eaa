"""A watch that keeps up with fast writers: a stream that is drained at once, and long polls beside it that check it.

See ``etcdorm.v2.sequencer`` for why both are needed, and docs/design.md for what is known to go wrong with streams.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import cast

from pydantic_core import from_json

from etcdorm.v2.ending import end
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

_GRACE = 0.1
"""Seconds that the stream may be behind a poll before it counts as dead. A false alarm costs a new stream."""

_CHECK = 0.05
"""Seconds between two checks of a busy stream; at 10,000 writes a second they are 500 of the history's 1000 events."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
"""Seconds between two tries to open a stream."""

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
        self._streamed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._member: str | None = None
        self._turn = 0
        self.failure: BaseException | None = None

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
        try:
            while self.failure is None:
                await self._make_room()
                if self._reader is not None and self._reader.done():
                    self._reader.result()
                    continue
                if self._reader is None:
                    self._reader = asyncio.create_task(self._read_streams())
                await self._poll()
        except EtcdException as error:
            self.fail(error)
        finally:
            await self._drop_stream()

    async def _poll(self) -> None:
        """One poll: close the gap before the stream by one event, or check the stream by it."""
        sequencer = self._sequencer
        index, at, began = sequencer.next, self._member_to_check(), time.monotonic()
        own = at if at == self._member else None
        try:
            event = await self._polls.poll(index, timeout=self._pace.seconds, at=at)
        except EtcdWatchTimedOut as error:
            self._pace.registered(error.index, began)
            if own is not None and own == self._member:
                await self._check_for_skips(own, error.raft_index)
            if error.index + 1 < index:
                await self._check_history(index)
            else:
                sequencer.passed(error.index)
                self._arrived.set()
            return
        except EtcdEventIndexCleared as error:
            if sequencer.next == index:
                self.fail(error)
            return
        except EtcdWatcherCleared:
            return
        except EtcdMisconfigured:
            raise  # what must be mended by hand is not to be waited for
        except EtcdConnectionFailed as error:
            if own is not None and own == self._member:
                _log.info("watch of %s: the member of its stream does not answer: %s", self._source.name, error)
                await self._drop_stream()
            elif at is None:
                _log.warning("watch of %s: %s; trying on", self._source.name, error)
                await asyncio.sleep(_FIRST_PAUSE)
            return
        if own is not None and own == self._member:
            await self._check_for_skips(own, event.raft_index)
        if not self._source.concerns(event):
            sequencer.passed(event.modifiedIndex)
            return
        if sequencer.joined and sequencer.behind(event.modifiedIndex):
            await self._wait_until_streamed(event.modifiedIndex)
            if sequencer.behind(event.modifiedIndex):
                _log.info("watch of %s: its stream fell silent; another is opened", self._source.name)
                if at is not None and own is None and self._member is not None:
                    self._source.suspect(self._member)
                await self._drop_stream()
        if not sequencer.joined:
            sequencer.polled(event)
            self._arrived.set()
        elif self.failure is None:
            await asyncio.sleep(_CHECK)

    def _member_to_check(self) -> str | None:
        """The stream's own member and the others in turns, for a member that is cut off does not know that it is."""
        if not self._sequencer.joined:
            return None
        self._turn += 1
        others = [url for url in self._source.endpoints if url != self._member]
        if self._turn % 2 == 0 and others:
            return others[self._turn // 2 % len(others)]
        return self._member

    async def _wait_until_streamed(self, index: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while self._sequencer.behind(index) and self._sequencer.joined:
                    self._streamed.clear()
                    await self._streamed.wait()

    async def _check_history(self, index: int) -> None:
        """The member that was polled is behind, or the whole store was made anew and the index will not come."""
        now = await self._source.now()
        if now + 1 < index:
            self.fail(made_anew(self._source.name, index, now))

    async def _check_for_skips(self, member: str, raft_index: int) -> None:
        """Look whether the stream has skipped events, when its member may have been sent a snapshot."""
        suspicion = self._sequencer.probed(raft_index)
        if suspicion is None:
            return
        index, streamed = suspicion
        end, known = self._sequencer.next, set(streamed)
        while index < end:
            try:
                event = await self._source.poll(index, timeout=_GRACE, at=member)
            except (EtcdWatchTimedOut, EtcdWatcherCleared):
                return
            except EtcdConnectionFailed:
                await self._drop_stream()
                return
            found = event.modifiedIndex
            if found < end and found not in known and self._source.concerns(event):
                self.fail(skipped(self._source.name, found, await self._source.now()))
                return
            index = found + 1

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
        while True:
            try:
                async with self._source.stream() as (member, streamed):
                    self._member = member
                    self._sequencer.opened(streamed.index, streamed.raft_index)
                    if await self._drain(streamed):
                        pause = _FIRST_PAUSE
            except EtcdConnectionFailed as error:
                _log.info("watch of %s: %s; another stream is opened", self._source.name, error)
            except EtcdException as error:
                self.fail(error)
                return
            finally:
                self._sequencer.closed()
                self._streamed.set()
                self._member = None
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _drain(self, streamed: Streamed) -> bool:
        """Read a stream to its end; whether it has brought anything."""
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
            self._streamed.set()
            if len(self._ready) + sequencer.held >= self._buffer:
                break
        return bool(rest) or bool(lines)

    async def _drop_stream(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await end(reader)

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
