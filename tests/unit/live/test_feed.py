"""Feeds: typed changes with their fields, and consumers who are too slow."""

from __future__ import annotations

import logging

import pytest

from etcdorm import Created, Deleted, FellBehindError, Invalid, Session, Updated, UsageError
from etcdorm.path import Path
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore
from tests.support.models import Node
from tests.support.virtual import virtual


async def save_ports(session: Session, name: str, ports: range) -> None:
    node = Node(name=name)
    for port in ports:
        node.port = port
        await session.save(node)


@virtual
async def test_an_update_names_the_fields_that_differ() -> None:
    async with Session(MemoryStore()) as session, session.watch(Node) as changes:
        node = await session.save(Node(name="n1", labels={"a": "1", "b": "1"}))
        await anext(changes)
        node.port, node.labels = 1, {"a": "2", "b": "1", "c": "1"}
        await session.save(node)
        change = await anext(changes)
        assert isinstance(change, Updated)
        assert set(change.fields) == {"port", "labels.a", "labels.c"}


@virtual
async def test_an_update_from_what_did_not_fit_names_no_fields() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.watch(Node) as changes:
        await session.save(Node(name="n1"))
        for port in ("many", "1"):
            etcd.edit(Path.parse("/nodes/n1"), {"host": "h", "port": port})
        told = [await anext(changes) for _ in range(3)]
        assert isinstance(told[1], Invalid)
        assert isinstance(told[2], Updated)
        assert (told[2].old, told[2].fields) == (None, ())


@virtual
async def test_a_slow_consumer_is_told_and_gets_the_newest_state(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        Session(MemoryStore()) as session,
        session.watch(Node, buffer=10) as slow,
        session.watch(Node, buffer=100) as fast,
    ):
        await save_ports(session, "n1", range(50))
        await session.save(Node(name="n2"))
        assert await anext(slow) == Created("/nodes/n1", Node(name="n1", port=49), gap=True)
        assert await anext(slow) == Created("/nodes/n2", Node(name="n2"), gap=True)
        assert (slow.fell_behind, fast.fell_behind) == (1, 0)
        told = [await anext(fast) for _ in range(51)]
        assert [change.new.port for change in told[:50] if isinstance(change, Created | Updated)] == list(range(50))
        assert not any(change.gap for change in told)
        await session.delete(await session.load(Node, "n2"))
        assert await anext(slow) == Deleted("/nodes/n2", Node(name="n2"))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warnings] == [
        "watch of /nodes: more than 10 changes wait to be taken; until they are, several changes of a record become one"
    ]


@virtual
async def test_a_consumer_that_wants_all_or_nothing_is_told_by_an_error_behind_what_came_in_time() -> None:
    async with Session(MemoryStore()) as session, session.watch(Node, buffer=10, on_behind="raise") as changes:
        await save_ports(session, "n1", range(50))
        told = [await anext(changes) for _ in range(10)]
        assert [change.new.port for change in told if isinstance(change, Created | Updated)] == list(range(10))
        for _ in range(2):
            with pytest.raises(FellBehindError, match="more than 10 changes behind"):
                await anext(changes)


@virtual
async def test_memory_stays_flat_however_slow_a_consumer_is() -> None:
    async with Session(MemoryStore()) as session, session.watch(Node, buffer=10) as changes:
        for number in range(500):
            node = await session.save(Node(name=f"n{number}"))
            await session.delete(node)
        assert changes.fell_behind == 1
        await session.save(Node(name="last"))
        told = [await anext(changes)]
        while told[-1].path != "/nodes/last":
            told.append(await anext(changes))
        assert told[0].gap
        assert len(told) <= 11


@virtual
async def test_what_was_missed_comes_with_a_gap() -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.watch(Node) as changes:
        await session.save(Node(name="n1"))
        await anext(changes)
        etcd.clear_history(while_=lambda: etcd.take(Path.parse("/nodes/n1")))
        assert await anext(changes) == Deleted("/nodes/n1", Node(name="n1"), gap=True)


@pytest.mark.parametrize("buffer", [0, -1, 1.5, True, "10"])
def test_a_buffer_that_can_not_be_is_refused(buffer: int) -> None:
    with pytest.raises(UsageError, match="buffer must be a whole number of changes"):
        Session(MemoryStore()).watch(Node, buffer=buffer)


def test_what_to_do_about_being_behind_must_be_known() -> None:
    with pytest.raises(UsageError, match="on_behind must be one of"):
        Session(MemoryStore()).watch(Node, on_behind="ignore")  # type: ignore[arg-type]


@virtual
async def test_a_feed_is_entered_once() -> None:
    async with Session(MemoryStore()) as session:
        changes = session.watch(Node)
        async with changes:
            with pytest.raises(UsageError, match="entered before"):
                await changes.__aenter__()
