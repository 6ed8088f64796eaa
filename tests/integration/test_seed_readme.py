"""python-aio-etcd's README, section by section, with its very lines, on ``import etcdorm.v2 as etcd``.

Where a line could not do what it is meant to (it has Python 2's print, an undefined name or no ``await``), the line
that does stands there, and the original beside it. ``srv_domain`` is in test_discovery.py, with a DNS server.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from textwrap import dedent
from typing import Any

import pytest

import etcdorm.v2 as etcd
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client, Lock
from tests.support.raw import DEADLINE

Lines = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture
def lines(client: Client) -> Lines:
    """Runs lines of the README with a client of a real etcd, and returns the names that they leave behind."""
    return on(client)


@pytest.fixture
def fresh_etcd(etcd_binary: EtcdBinary) -> Iterator[EtcdServer]:
    """An etcd of its own, for lines that name an index: it begins to count at the beginning."""
    with EtcdServer(binary=etcd_binary) as server:
        yield server


def on(client: Client) -> Lines:
    async def run(text: str) -> dict[str, Any]:
        names: dict[str, Any] = {"etcd": etcd, "asyncio": asyncio, "client": client}
        code = compile(dedent(text), "README.rst", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await asyncio.wait_for(result, DEADLINE)
        return names

    return run


@asynccontextmanager
async def somebody_writing(client: Client, key: str) -> AsyncIterator[None]:
    """Changes the key again and again, so that whoever waits for a change gets one."""

    async def write() -> None:
        for number in range(10**9):
            await client.write(key, number)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


# -- Create a client object --------------------------------------------------------------------------------------------


def test_importing_it() -> None:
    names: dict[str, Any] = {}
    exec("import etcdorm.v2 as etcd", names)  # import aio_etcd as etcd
    assert names["etcd"] is etcd


@pytest.mark.parametrize(
    ("line", "base_uri"),
    [
        ("client = etcd.Client()", "http://127.0.0.1:4001"),
        ("client = etcd.Client(port=4002)", "http://127.0.0.1:4002"),
        ("client = etcd.Client(host='127.0.0.1', port=4003)", "http://127.0.0.1:4003"),
        ("client = etcd.Client(host='127.0.0.1', port=4003, allow_redirect=False)", "http://127.0.0.1:4003"),
        (
            "client = etcd.Client(host='api.example.com', protocol='https', port=443, version_prefix='/etcd')",
            "https://api.example.com:443",
        ),
    ],
)
def test_create_a_client_object(line: str, base_uri: str) -> None:
    names: dict[str, Any] = {"etcd": etcd}
    exec(line, names)
    assert names["client"].base_uri == base_uri


def test_create_a_client_object_of_several_hosts() -> None:
    names: dict[str, Any] = {"etcd": etcd}
    exec("client = etcd.Client(host=(('127.0.0.1', 4001), ('127.0.0.1', 4002), ('127.0.0.1', 4003)))", names)
    assert names["client"].endpoints == ("http://127.0.0.1:4001", "http://127.0.0.1:4002", "http://127.0.0.1:4003")


# -- Write, read and delete a key --------------------------------------------------------------------------------------


async def test_write_a_key(lines: Lines, client: Client) -> None:
    await lines("await client.write('/nodes/n1', 1)")
    assert (await client.read("/nodes/n1")).value == "1"


async def test_set_a_key(lines: Lines, client: Client) -> None:
    await lines("await client.set('/nodes/n1', 1)")
    assert (await client.read("/nodes/n1")).value == "1"


async def test_write_a_key_with_a_ttl(lines: Lines, client: Client) -> None:
    await lines("await client.write('/nodes/n2', 2, ttl=4)")
    assert (await client.read("/nodes/n2")).ttl in (3, 4)


@pytest.mark.parametrize("line", ["(await client.read('/nodes/n2')).value", "(await client.get('/nodes/n2')).value"])
async def test_read_a_key(lines: Lines, client: Client, line: str) -> None:
    await client.write("/nodes/n2", 2)
    assert (await lines(f"value = {line}"))["value"] == "2"


async def test_read_a_directory(lines: Lines, client: Client) -> None:
    await client.write("/nodes/n1", 1)
    await client.write("/nodes/deep/n2", 2)
    names = await lines("directory = await client.read('/nodes', recursive = True)")
    assert {leaf.key: leaf.value for leaf in names["directory"].leaves} == {"/nodes/n1": "1", "/nodes/deep/n2": "2"}


async def test_read_a_key_that_is_not_there(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    await lines(
        """
        try:
            await client.read('/invalid/path')  # client.read('/invalid/path')
        except etcd.EtcdKeyNotFound:
            # do something
            print("error")  # print "error"
        """
    )
    assert capsys.readouterr().out == "error\n"


async def test_delete_a_key(lines: Lines, client: Client) -> None:
    await client.write("/nodes/n1", 1)
    await lines("await client.delete('/nodes/n1')")
    assert not await client.contains("/nodes/n1")


# -- Atomic Compare and Swap -------------------------------------------------------------------------------------------

SWAPS = ["await client.write('/nodes/n2', 2, prevValue = 4)", "await client.test_and_set('/nodes/n2', 2, 4)"]


@pytest.mark.parametrize("line", SWAPS)
async def test_compare_and_swap(lines: Lines, client: Client, line: str) -> None:
    await client.write("/nodes/n2", 4)
    await lines(line)
    assert (await client.read("/nodes/n2")).value == "2"


@pytest.mark.parametrize("line", SWAPS)
async def test_compare_and_swap_of_another_value(lines: Lines, client: Client, line: str) -> None:
    await client.write("/nodes/n2", 5)
    with pytest.raises(etcd.EtcdCompareFailed):
        await lines(line)


async def test_write_a_key_only_if_it_did_not_exist(lines: Lines, client: Client) -> None:
    await lines("await client.write('/nodes/n2', 2, prevExist = False)")
    with pytest.raises(etcd.EtcdAlreadyExist):
        await lines("await client.write('/nodes/n2', 2, prevExist = False)")


async def test_write_a_key_only_if_it_was_modified_at_an_index(fresh_etcd: EtcdServer) -> None:
    async with Client(fresh_etcd.url) as client:
        while (await client.write("/nodes/n2", 4)).modifiedIndex < 30:
            pass
        await on(client)("await client.write('/nodes/n2', 2, prevIndex = 30)")
        with pytest.raises(etcd.EtcdCompareFailed):
            await on(client)("await client.write('/nodes/n2', 2, prevIndex = 30)")


async def test_update_a_result(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    await lines(
        """
        await client.write('/foo','bar')
        result = await client.read('/foo')
        print(result.value) # bar
        result.value += u'bar'
        updated = await client.update(result)
        # if any other client wrote to '/foo' in the meantime this will fail

        print(updated.value) # barbar
        """
    )
    assert capsys.readouterr().out == "bar\nbarbar\n"


async def test_update_a_result_that_another_client_has_written(lines: Lines) -> None:
    with pytest.raises(etcd.EtcdCompareFailed):
        await lines(
            """
            await client.write('/foo','bar')
            result = await client.read('/foo')
            result.value += u'bar'
            await client.write('/foo', 'of another client')
            updated = await client.update(result)
            """
        )


# -- Watch a key -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "result = await client.read('/nodes/n1', wait = True, waitIndex = result.modifiedIndex+1)",
        "result = await client.watch('/nodes/n1', index = result.modifiedIndex+1)",
    ],
)
async def test_watch_a_key_from_a_known_value(lines: Lines, client: Client, line: str) -> None:
    await client.write("/nodes/n1", "known")
    names = await lines(
        f"""
        result = await client.read('/nodes/n1')
        # start from a known initial value

        await client.write('/nodes/n1', 'next')
        await client.write('/nodes/n1', 'later')
        {line}
        """
    )
    assert names["result"].value == "next"


async def test_watch_a_key_from_an_index(fresh_etcd: EtcdServer) -> None:
    async with Client(fresh_etcd.url) as client:
        while (await client.write("/nodes/n1", 1)).modifiedIndex < 12:
            pass
        names = await on(client)("result = await client.read('/nodes/n1', wait = True, waitIndex = 10)")
        assert names["result"].modifiedIndex == 10


@pytest.mark.parametrize(
    "line",
    [
        "result = await client.watch('/nodes/n1')",
        "result = await asyncio.wait_for(client.read('/nodes/n1', wait=True), timeout=30)",
    ],
)
async def test_watch_a_key_from_now_on(lines: Lines, client: Client, line: str) -> None:
    before = await client.write("/nodes/n1", "before")
    async with somebody_writing(client, "/nodes/n1"):
        assert (await lines(line))["result"].modifiedIndex > before.modifiedIndex


async def test_a_read_that_waits_can_be_timed_out(lines: Lines) -> None:
    with pytest.raises(TimeoutError):
        await lines("result = await asyncio.wait_for(client.read('/nodes/n1', wait=True), timeout=0.1)")  # timeout=30


# -- Refreshing key TTL ------------------------------------------------------------------------------------------------


async def test_refreshing_key_ttl(lines: Lines, client: Client) -> None:
    # The README has both lines without "await".
    await lines(
        """
        await client.write('/nodes/n1', 'value', ttl=30)  # sets the ttl to 30 seconds
        await client.refresh('/nodes/n1', ttl=600)  # refresh ttl to 600 seconds, without notifying current watchers
        """
    )
    result = await client.read("/nodes/n1")
    assert (result.value, result.ttl) in [("value", 600), ("value", 599)]


# -- Locking module ----------------------------------------------------------------------------------------------------


async def test_locking_module(etcd: EtcdServer) -> None:
    names: dict[str, Any] = {}
    exec("from etcdorm.v2.lock import Lock", names)  # from aio_etcd.lock import Lock
    assert names["Lock"] is Lock
    async with Client(etcd.url, lock_prefix="/my_etcd_root/_locks") as client:
        await on(client)(
            """
            lock = etcd.Lock(client, 'my_lock_name')

            # Use the lock object:
            await lock.acquire(blocking=True, # will block until the lock is acquired
                  lock_ttl=None) # lock will live until we release it
            assert lock.is_acquired  # True
            assert (await client.read(lock.lock_key)).ttl is None
            await lock.acquire(lock_ttl=60) # renew a lock
            assert (await client.read(lock.lock_key)).ttl in (59, 60)
            await lock.release() # release an existing lock
            assert not lock.is_acquired  # False
            """
        )
        assert [node.key for node in (await client.read("/my_etcd_root/_locks")).children] == [
            "/my_etcd_root/_locks/my_lock_name"
        ]


async def test_the_lock_object_may_also_be_used_as_a_context_manager(lines: Lines) -> None:
    await lines(
        """
        from etcdorm.v2.lock import Lock
        def do_stuff():
            assert my_lock.is_acquired

        async with Lock(client, 'customer1') as my_lock:
            do_stuff()
            assert my_lock.is_acquired  # True
            await my_lock.acquire(lock_ttl=60)
        assert not my_lock.is_acquired  # False
        """
    )


# -- Get machines and leader of the cluster ----------------------------------------------------------------------------


async def test_get_machines_in_the_cluster(lines: Lines, etcd: EtcdServer) -> None:
    assert (await lines("machines = await client.machines()"))["machines"] == [etcd.url]


async def test_get_leader_of_the_cluster(lines: Lines, etcd: EtcdServer) -> None:
    assert (await lines("leaderinfo = await client.leader()"))["leaderinfo"]["clientURLs"] == [etcd.url]


# -- Sequential keys, and the contents of a directory ------------------------------------------------------------------


async def test_generate_a_sequential_key_in_a_directory(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    names = await lines(
        """
        x = await client.write("/dir/name", "value", append=True)
        print("generated key: " + x.key)
        # actually the whole path
        print("stored value: " + x.value)
        """
    )
    key = f"/dir/name/{names['x'].modifiedIndex:020}"
    assert capsys.readouterr().out == f"generated key: {key}\nstored value: value\n"


async def test_list_contents_of_a_directory(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    names = await lines(
        """
        #stick a couple values in the directory
        await client.write("/dir/name", "value1", append=True)
        await client.write("/dir/name", "value2", append=True)

        directory = await client.get("/dir/name")

        # loop through a directory's children
        for result in directory.children:
            print(result.key + ": " + result.value)
        """
    )
    printed = sorted(capsys.readouterr().out.splitlines())
    assert [line.partition(": ")[2] for line in printed] == ["value1", "value2"]
    assert all(line.startswith("/dir/name/0") for line in printed)
    assert names["result"].key.startswith("/dir/name/0")


async def test_get_the_first_child(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    await lines(
        """
        await client.write("/dir/name", "value1", append=True)
        directory = await client.get("/dir/name")
        print(next(directory.children).value)  # print(directory.next(children).value)
        """
    )
    assert capsys.readouterr().out == "value1\n"
