"""Many writers on one record of a real etcd, with answers lost all the time: every save counts exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from etcdorm import (
    AlreadyExistsError,
    ConflictError,
    EtcdModel,
    NotFoundError,
    Session,
    UnavailableError,
    UnconfirmedError,
    connect,
)
from etcdorm.embedded import EtcdServer
from etcdorm.v2.store import V2Store
from tests.support.lossy import UnluckyClient

WRITERS = 6


class Tally(EtcdModel, path="/tallies/{name}"):
    """``total`` is the sum of ``parts`` in every state that anybody may see."""

    name: str
    total: int = 0
    parts: dict[str, int] = {}

    def count(self, writer: int) -> None:
        # A part comes and goes, so that keys are made and deleted all the time.
        part = f"p{writer}"
        if self.parts.get(part, 0) >= 3:
            self.parts = {name: number for name, number in self.parts.items() if name != part} | {
                "all": self.parts.get("all", 0) + 3
            }
        self.parts = {**self.parts, part: self.parts.get(part, 0) + 1}
        self.total += 1


@pytest.mark.parametrize("seed", range(2))
async def test_every_update_counts_once_and_nobody_sees_half_of_one(
    etcd: EtcdServer, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes: Counter[str] = Counter()

    async def write(session: Session, writer: int) -> None:
        for _ in range(40):
            try:
                await session.update(Tally, "t", lambda tally: tally.count(writer))
            except UnconfirmedError:
                outcomes["unconfirmed"] += 1
            except (UnavailableError, ConflictError):
                outcomes["refused"] += 1
            else:
                outcomes["done"] += 1

    async def read(session: Session) -> None:
        while True:
            tally = await session.load(Tally, "t")
            assert sum(tally.parts.values()) == tally.total
            outcomes["reads"] += 1

    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(connect(etcd.url))
        await reader.save(Tally(name="t"))
        sessions = [
            await stack.enter_async_context(Session(V2Store(UnluckyClient(etcd.url, seed * WRITERS + writer))))
            for writer in range(WRITERS)
        ]
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(reader))
            async with asyncio.TaskGroup() as writers:
                for writer, session in enumerate(sessions):
                    writers.create_task(write(session, writer))
            reading.cancel()
        total = (await reader.load(Tally, "t")).total
        assert "another tool" not in caplog.text
        assert outcomes["done"] <= total <= outcomes["done"] + outcomes["unconfirmed"]
        assert outcomes["done"] > WRITERS
        assert outcomes["reads"] > 10


async def test_records_that_come_and_go_are_never_half_there(etcd: EtcdServer) -> None:
    async def live(session: Session, writer: int) -> None:
        for number in range(25):
            try:
                tally = await session.save(Tally(name="t", total=writer + 1, parts={"a": writer, f"b{number}": 1}))
                await session.delete(tally)
            except (AlreadyExistsError, ConflictError, NotFoundError, UnconfirmedError, UnavailableError):
                continue

    async def read(session: Session) -> None:
        while True:
            tally = await session.get(Tally, "t")
            assert tally is None or sum(tally.parts.values()) == tally.total

    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(connect(etcd.url))
        sessions = [
            await stack.enter_async_context(Session(V2Store(UnluckyClient(etcd.url, writer))))
            for writer in range(WRITERS)
        ]
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(reader))
            async with asyncio.TaskGroup() as writers:
                for writer, session in enumerate(sessions):
                    writers.create_task(live(session, writer))
            reading.cancel()
        last = await reader.get(Tally, "t")
        if last is not None:
            await reader.delete(last)
        await reader.save(Tally(name="t", total=1, parts={"only": 1}))
        assert (await reader.load(Tally, "t")).parts == {"only": 1}
