"""Last-good files: what a live value or a table begins with while etcd is away."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path as FilePath

import pytest

from etcdorm import EtcdModel, RefusedError, Session, UnavailableError, UsageError
from etcdorm.live import LastGood
from etcdorm.path import Path
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore
from tests.support.models import Node

A, B = Path.parse("/nodes/a"), Path.parse("/nodes/b")


class Narrow(EtcdModel, path="/nodes/{name}"):
    """As Node will be in a later version of its program."""

    name: str
    port: bool


@pytest.fixture
def file(tmp_path: FilePath) -> FilePath:
    return tmp_path / "nodes.json"


def away() -> MemoryStore:
    store = MemoryStore()
    store.etcd.stop()
    return store


async def fill(file: FilePath, *ports: int) -> None:
    """Write a file with the nodes a, b, ..."""
    async with Session(MemoryStore()) as session:
        for name, port in zip("abc", ports, strict=False):
            await session.save(Node(name=name, port=port))
        async with session.table(Node, last_good=file):
            pass


async def test_a_table_begins_with_the_file_and_goes_on_with_etcd(file: FilePath) -> None:
    await fill(file, 1, 2)
    store = away()
    async with Session(store) as session, session.table(Node, last_good=file, patience=0.01) as nodes:
        assert {key: node.port for key, node in nodes.items()} == {"a": 1, "b": 2}
        assert (nodes.ready, nodes.stale, nodes.version, nodes["a"].etcd) == (False, True, 0, None)
        changed: list[frozenset[object]] = []
        nodes.on_change(changed.append)
        store.etcd.start()
        saved = await session.save(Node(name="a", port=3))
        await nodes.wait_ready()
        await nodes.reach(saved)
        assert {key: node.port for key, node in nodes.items()} == {"a": 3}
        assert (nodes.ready, nodes.stale) == (True, False)
        await asyncio.sleep(0)
    assert frozenset().union(*changed) == frozenset("ab")


async def test_a_live_value_begins_with_the_file(tmp_path: FilePath) -> None:
    file = tmp_path / "a.json"
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session, session.live(Node, "a", last_good=file) as live:
        await session.save(Node(name="a", port=1))
        etcd.edit(A, {"host": "h", "port": "many"})
        await live.until(lambda: live.error is not None)
    async with Session(away()) as session, session.live(Node, "a", last_good=file, patience=0) as live:
        assert (live.value.port, live.stale, live.error) == (1, True, None)


async def test_a_bad_edit_leaves_the_last_valid_state_in_the_file(file: FilePath) -> None:
    etcd = MemoryEtcd()
    async with Session(MemoryStore(etcd)) as session:
        await session.save(Node(name="a", port=1))
        await session.save(Node(name="b", port=1))
        async with session.table(Node, last_good=file) as nodes:
            etcd.edit(A, {"host": "h", "port": "many"})
            etcd.take(B)
            await nodes.reach(etcd.index)
    async with Session(away()) as session, session.table(Node, last_good=file, patience=0) as nodes:
        assert {key: node.port for key, node in nodes.items()} == {"a": 1}


async def test_a_valid_state_of_the_file_outlives_a_start_with_a_bad_one_in_etcd(file: FilePath) -> None:
    await fill(file, 1)
    store = away()
    store.etcd.put(A, {"host": "h", "port": "many"}, ttl=None)
    async with Session(store) as session, session.table(Node, last_good=file, patience=0) as nodes:
        store.etcd.start()
        await nodes.wait_ready()
        assert (nodes["a"].port, list(nodes.invalid)) == (1, ["/nodes/a"])
    assert b'"port": "1"' in file.read_bytes()


async def test_a_start_with_a_bad_state_in_etcd_falls_back_on_the_file(file: FilePath) -> None:
    await fill(file, 1)
    etcd = MemoryEtcd()
    etcd.put(A, {"host": "h", "port": "many"}, ttl=None)
    async with Session(MemoryStore(etcd)) as session, session.table(Node, last_good=file) as nodes:
        assert (nodes["a"].port, list(nodes.invalid), nodes.ready) == (1, ["/nodes/a"], True)


async def test_an_etcd_that_answers_in_time_counts_and_the_file_does_not(file: FilePath) -> None:
    await fill(file, 1)
    async with Session(MemoryStore()) as session, session.table(Node, last_good=file) as nodes:
        assert (dict(nodes), nodes.ready) == ({}, True)


async def test_no_record_is_something_to_begin_with_too(file: FilePath) -> None:
    await fill(file)
    async with Session(away()) as session, session.table(Node, last_good=file, patience=0) as nodes:
        assert (dict(nodes), nodes.ready) == ({}, False)
        with pytest.raises(UnavailableError, match="etcd has not answered yet"):
            await nodes.wait_ready(timeout=0.01)


async def test_nobody_else_may_read_the_file_and_nothing_is_left_beside_it(file: FilePath) -> None:
    await fill(file, 1)
    await fill(file, 2)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


async def test_it_ends_when_the_session_is_closed_while_etcd_is_away(file: FilePath) -> None:
    await fill(file, 1)
    session = Session(away())
    async with session.table(Node, last_good=file, patience=0) as nodes:
        await session.close()
        with pytest.raises(UsageError, match="this session was closed"):
            await nodes.wait_ready()
        assert (list(nodes), nodes.stale) == (["a"], True)
    with pytest.raises(UsageError, match="this session was closed"):
        await session.watch(Node).__aenter__()


async def test_the_file_of_an_etcd_that_never_answered_stays_as_it_is(file: FilePath) -> None:
    await fill(file, 1)
    before = file.read_bytes()
    async with Session(away()) as session, session.table(Node, last_good=file, patience=0):
        pass
    assert file.read_bytes() == before


async def test_without_a_file_there_is_no_beginning(file: FilePath) -> None:
    store = MemoryStore(timeout=0.05)
    store.etcd.stop()
    async with Session(store) as session:
        with pytest.raises(UnavailableError, match="no etcd answered"):
            await session.table(Node, last_good=file, patience=0.01).__aenter__()
    assert not file.exists()


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
async def test_a_damaged_file_is_ignored_and_replaced(
    file: FilePath, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(file, 1)
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:-10], "changed": whole.replace(b'"1"', b'"7"'), "empty": b""}[damage])
    store = MemoryStore(timeout=0.05)
    store.etcd.stop()
    async with Session(store) as session:
        with pytest.raises(UnavailableError):
            await session.table(Node, last_good=file, patience=0).__aenter__()
    assert "the last-good file is ignored: it is damaged" in caplog.text
    await fill(file, 1)
    assert file.read_bytes().partition(b"\n")[2] == whole.partition(b"\n")[2]


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(b"[settings]\nport = 1\n", id="another tool's"),
        pytest.param(b'{"kind": "something else"}\n', id="JSON"),
        pytest.param(b'{"kind": "etcdorm last good", "format": 2}\n', id="a later format"),
        pytest.param(None, id="another class"),
    ],
)
async def test_a_foreign_file_is_ignored_and_left_alone(
    file: FilePath, foreign: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    if foreign is None:
        LastGood(file, "Other", "/others/{name}", "/others").write({})
        foreign = file.read_bytes()
    else:
        file.write_bytes(foreign)
    store = MemoryStore(timeout=0.05)
    store.etcd.stop()
    async with Session(store) as session:
        with pytest.raises(UnavailableError):
            await session.table(Node, last_good=file, patience=0).__aenter__()
    await fill(file, 1)
    assert "the last-good file is ignored: " in caplog.text
    assert "the last-good file is not written: " in caplog.text
    assert file.read_bytes() == foreign


async def test_what_the_class_does_not_take_any_more_is_left_out(
    file: FilePath, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(file, 1, 200)
    async with Session(away()) as session, session.table(Narrow, last_good=file, patience=0) as nodes:
        assert list(nodes) == ["a"]
    assert "/nodes/b: what is in the last-good file is not valid any more: /nodes/b/port" in caplog.text


async def test_a_file_that_can_not_be_written_is_told_and_does_no_harm(
    tmp_path: FilePath, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "nowhere" / "nodes.json"
    async with Session(MemoryStore()) as session, session.table(Node, last_good=file) as nodes:
        await nodes.reach(await session.save(Node(name="a")))
    assert f"{file}: the last-good file could not be written: No such file or directory" in caplog.text


async def test_a_refusal_is_not_hidden_by_a_file(file: FilePath) -> None:
    await fill(file, 1)
    store = MemoryStore()
    store.deny("/nodes")
    async with Session(store) as session:
        with pytest.raises(RefusedError, match="no right"):
            await session.table(Node, last_good=file).__aenter__()


def test_patience_must_be_seconds() -> None:
    with pytest.raises(UsageError, match="patience must be seconds"):
        Session(MemoryStore()).live(Node, "a", last_good="a.json", patience=-1)
