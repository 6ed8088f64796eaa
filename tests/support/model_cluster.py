"""What a watch sees of a cluster of etcd, with all that goes wrong there: a ``Source`` without any network.

Members follow one log, may be cut off or stopped, and catch up entry by entry, or by a snapshot, which every open watch
of theirs skips. Streams fall silent, break in the middle of a line, and deliver twice.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, cast

from etcdorm.v2.errors import EtcdEventIndexCleared, EtcdUnavailable, EtcdWatchTimedOut
from etcdorm.v2.result import EtcdResult, Node
from etcdorm.v2.transport import AnswerLost, Streamed

HISTORY = 40
GAP = 25
"""Entries behind which a member is sent a snapshot; the code under test has to be told."""

Kind = Literal["event", "foreign", "refresh", "raft"]
"""What only the history shows is foreign; a refresh moves the index alone; v3 and reads move the raft index alone."""

_PATIENCE = 3.0


@dataclass(slots=True)
class Entry:
    kind: Kind
    index: int


@dataclass(slots=True, eq=False)
class Watcher:
    index: int
    found: asyncio.Future[int]


@dataclass(slots=True, eq=False)
class Stream:
    index: int
    raft_index: int
    lines: list[bytes] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    silent: bool = False
    broken: bool = False


class Member:
    def __init__(self, cluster: ModelCluster) -> None:
        self.cluster = cluster
        self.raft = 0
        self.cut_off = False
        """It answers, and follows the log no more."""
        self.stopped = False
        """It accepts connections, and answers nothing."""
        self.dead = False
        self.streams: list[Stream] = []
        self.watchers: list[Watcher] = []

    @property
    def index(self) -> int:
        return self.cluster.log[self.raft - 1].index if self.raft else 0

    def follow(self) -> None:
        log = self.cluster.log
        if self.cut_off or self.stopped or self.dead:
            return
        if len(log) - self.raft >= GAP:
            self.raft = len(log)
        while self.raft < len(log):
            self.raft += 1
            entry = log[self.raft - 1]
            if entry.kind == "event":
                self._tell(entry.index)

    def _tell(self, index: int) -> None:
        for watcher in self.watchers:
            if index >= watcher.index and not watcher.found.done():
                watcher.found.set_result(index)
        for stream in self.streams:
            if not stream.silent:
                times = 1 + self.cluster.chance(0.05)
                stream.lines += [json.dumps({"action": "set", "node": node(index, "event")}).encode() + b"\n"] * times
                stream.more.set()

    def disconnect(self) -> None:
        for stream in self.streams:
            stream.broken = True
            stream.more.set()
        for watcher in self.watchers:
            if not watcher.found.done():
                watcher.found.set_exception(EtcdUnavailable("the connection broke"))


class ModelCluster:
    """A ``Source`` of the events of a key, and what makes them."""

    name = "/key"

    def __init__(self, rng: random.Random, members: int) -> None:
        self._rng = rng
        self.log: list[Entry] = []
        self.members = {f"m{number}": Member(self) for number in range(members)}
        self._order = list(self.members)

    def chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def write(self, kind: Kind) -> None:
        index = (self.log[-1].index if self.log else 0) + (kind != "raft")
        self.log.append(Entry(kind, index))
        for member in self.members.values():
            member.follow()

    def true(self, start: int) -> list[int]:
        return [entry.index for entry in self.log if entry.kind == "event" and entry.index >= start]

    # -- the source -------------------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(self._order)

    @property
    def best(self) -> str:
        return self._order[0]

    def suspect(self, endpoint: str) -> None:
        self._order.remove(endpoint)
        self._order.append(endpoint)

    def concerns(self, event: EtcdResult) -> bool:
        return event.key == self.name

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[tuple[str, Streamed]]:
        at = self.best
        member = await self._reach(at)
        stream = Stream(member.index, member.raft)
        member.streams.append(stream)
        try:
            await self._delay()
            yield at, cast(Streamed, _ModelStreamed(self, member, stream))
        except AnswerLost as error:
            self.suspect(at)
            raise EtcdUnavailable(str(error)) from error
        finally:
            member.streams.remove(stream)

    async def poll(self, index: int, *, wait: float, at: str) -> EtcdResult:
        member = await self._reach(at)
        here, raft = member.index, member.raft
        if index <= here:
            kept = [entry for entry in self.log[: member.raft] if entry.kind != "raft"][-HISTORY:]
            if kept[0].index > index:
                await self._delay()
                raise EtcdEventIndexCleared("the history is cleared", index=here)
            for entry in kept:
                if entry.index >= index and entry.kind in ("event", "foreign"):
                    await self._delay()
                    return result(entry, here, raft)
        watcher = Watcher(index, asyncio.get_running_loop().create_future())
        member.watchers.append(watcher)
        try:
            async with asyncio.timeout(wait):
                found = await watcher.found
        except TimeoutError:
            raise EtcdWatchTimedOut("no event", index=here, raft_index=raft) from None
        finally:
            member.watchers.remove(watcher)
        await self._until_answered(member)
        return result(Entry("event", found), here, raft)

    async def now(self) -> int:
        member = await self._majority()
        return member.index

    async def raft_index(self, at: str | None = None) -> int:
        if at is None:
            return (await self._majority()).raft
        return (await self._reach(at)).raft

    async def _majority(self) -> Member:
        await self._delay()
        able = [each for each in self.members.values() if not (each.cut_off or each.stopped or each.dead)]
        if not able:
            raise EtcdUnavailable("no majority")
        able[0].follow()
        return able[0]

    async def _reach(self, at: str) -> Member:
        await self._delay()
        member = self.members[at]
        if member.dead:
            self.suspect(at)
            raise EtcdUnavailable("connection refused")
        if member.stopped:
            await asyncio.sleep(_PATIENCE)
            if member.stopped:
                self.suspect(at)
                raise EtcdUnavailable("no answer")
        return member

    async def _until_answered(self, member: Member) -> None:
        await self._delay()
        while member.stopped:  # noqa: ASYNC110 - time is virtual here, and waiting free
            await asyncio.sleep(0.1)
        if member.dead:
            raise EtcdUnavailable("the connection broke")

    async def _delay(self) -> None:
        await asyncio.sleep(self._rng.choice((0.0, 0.001, 0.001, 0.005, 0.03)))


class _ModelStreamed:
    def __init__(self, cluster: ModelCluster, member: Member, stream: Stream) -> None:
        self._cluster, self._member, self._stream = cluster, member, stream
        self.index, self.raft_index = stream.index, stream.raft_index
        self._rest = b""

    async def read(self) -> bytes:
        stream = self._stream
        while True:
            if stream.broken:
                if self._cluster.chance(0.3):
                    return b""
                raise AnswerLost("the connection broke")
            if self._rest or stream.lines:
                await self._cluster._delay()
                while self._member.stopped:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.1)
                data, stream.lines = self._rest + b"".join(stream.lines), []
                part = len(data) if self._cluster.chance(0.8) else max(1, len(data) // 3)
                self._rest = data[part:]
                return data[:part]
            stream.more.clear()
            await stream.more.wait()


def node(index: int, kind: Kind) -> Node:
    key = ModelCluster.name if kind == "event" else f"{ModelCluster.name}xx"
    return Node(key=key, value=str(index), modifiedIndex=index, createdIndex=index)


def result(entry: Entry, index: int, raft_index: int) -> EtcdResult:
    return EtcdResult("set", node(entry.index, entry.kind), etcd_index=index, raft_index=raft_index)
