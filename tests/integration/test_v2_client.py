"""The v2 client's calls and their parameters, as etcd answers them."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import FaultProxy
from etcdorm.v2 import (
    Client,
    EtcdAlreadyExist,
    EtcdCompareFailed,
    EtcdKeyNotFound,
    EtcdWatchTimedOut,
)
from tests.support.raw import DEADLINE, until_gone

ODD_KEYS = [
    "/a b",
    "/ü",
    "/日本",
    "/a?b",
    "/a#b",
    "/a%b",
    "/a%2Fb",
    "/a+b",
    "/a;b",
    "/a:b",
    "/a&b=c",
    "/*",
    "/a\nb",
    "/@",
]
ODD_VALUES = ["", " ", "a b", "a+b", "a%20b", "a&b=c", "a;b", "a\r\nb", "\0", "ü 日本", '{"a": 1}']


async def test_write_and_read(client: Client) -> None:
    await client.write("/key", "value")
    assert (await client.read("/key")).value == "value"


async def test_the_slash_at_the_beginning_of_a_key_may_be_missing(client: Client) -> None:
    await client.write("dir/key", "value")
    assert (await client.read("/dir/key")).value == "value"


async def test_odd_keys_come_back_as_they_were(client: Client) -> None:
    for key in ODD_KEYS:
        await client.write(key, f"value of {key}")
    found = [await client.read(key) for key in ODD_KEYS]
    assert [(each.key, each.value) for each in found] == [(key, f"value of {key}") for key in ODD_KEYS]


async def test_odd_values_come_back_as_they_were(client: Client) -> None:
    for number, value in enumerate(ODD_VALUES):
        await client.write(f"/{number}", value)
    assert [(await client.read(f"/{number}")).value for number in range(len(ODD_VALUES))] == ODD_VALUES


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (1.5, "1.5"), (True, "true"), (False, "false")])
async def test_numbers_and_flags_are_written_as_text(client: Client, value: float, text: str) -> None:
    await client.write("/key", value)
    assert (await client.read("/key")).value == text


async def test_a_result_knows_whether_the_key_is_new(client: Client) -> None:
    assert [(await client.write("/key", value)).newKey for value in ("a", "b")] == [True, False]


async def test_a_result_brings_what_was_there_before(client: Client) -> None:
    first = await client.write("/key", "a")
    before = (await client.write("/key", "b")).prev_node
    assert before is not None
    assert (before.value, before.modifiedIndex) == ("a", first.modifiedIndex)


async def test_a_result_has_the_indexes_of_the_store(client: Client) -> None:
    written = await client.write("/key", "a")
    read = await client.read("/key", quorum=True)
    assert read.etcd_index == written.modifiedIndex == read.modifiedIndex
    assert read.raft_index > 0


async def test_a_write_with_a_ttl_expires(client: Client) -> None:
    result = await client.write("/key", "a", ttl=0)
    await until_gone(client, "/key", since=result.modifiedIndex)


async def test_a_result_has_ttl_and_expiration(client: Client) -> None:
    result = await client.write("/key", "a", ttl=60)
    assert result.ttl == 60
    assert result.expiration is not None


async def test_a_write_without_a_ttl_takes_it_away(client: Client) -> None:
    await client.write("/key", "a", ttl=60)
    await client.write("/key", "b")
    assert (await client.read("/key")).ttl is None


async def test_a_directory_is_made(client: Client) -> None:
    await client.write("/dir", dir=True)
    assert (await client.read("/dir")).dir


async def test_a_directory_may_have_a_ttl(client: Client) -> None:
    assert (await client.write("/dir", dir=True, ttl=60)).ttl == 60


async def test_appended_keys_are_in_order(client: Client) -> None:
    keys = [(await client.write("/queue", str(each), append=True)).key for each in range(3)]
    found = await client.read("/queue", sorted=True)
    assert [child.key for child in found.children] == keys


async def test_an_appended_key_may_have_a_ttl(client: Client) -> None:
    assert (await client.write("/queue", "a", ttl=60, append=True)).ttl == 60


async def test_prev_value_lets_a_write_through_where_it_is_right(client: Client) -> None:
    await client.write("/key", "a & b")
    assert (await client.write("/key", "c", prevValue="a & b")).action == "compareAndSwap"


async def test_prev_value_stops_a_write_where_it_is_wrong(client: Client) -> None:
    await client.write("/key", "a")
    with pytest.raises(EtcdCompareFailed):
        await client.write("/key", "c", prevValue="b")


async def test_prev_index_lets_a_write_through_where_it_is_right(client: Client) -> None:
    index = (await client.write("/key", "a")).modifiedIndex
    assert (await client.write("/key", "c", prevIndex=index)).action == "compareAndSwap"


async def test_prev_index_stops_a_write_where_it_is_wrong(client: Client) -> None:
    index = (await client.write("/key", "a")).modifiedIndex
    with pytest.raises(EtcdCompareFailed):
        await client.write("/key", "c", prevIndex=index - 1)


async def test_both_conditions_must_hold(client: Client) -> None:
    index = (await client.write("/key", "a")).modifiedIndex
    with pytest.raises(EtcdCompareFailed):
        await client.write("/key", "c", prevIndex=index, prevValue="b")


async def test_prev_exist_false_makes_a_key_once(client: Client) -> None:
    await client.write("/key", "a", prevExist=False)
    with pytest.raises(EtcdAlreadyExist):
        await client.write("/key", "b", prevExist=False)


async def test_prev_exist_true_makes_no_key(client: Client) -> None:
    with pytest.raises(EtcdKeyNotFound):
        await client.write("/key", "a", prevExist=True)


async def test_prev_exist_true_keeps_the_created_index(client: Client) -> None:
    created = (await client.write("/key", "a")).createdIndex
    assert (await client.write("/key", "b", prevExist=True)).createdIndex == created


async def test_refresh_keeps_the_value(client: Client) -> None:
    await client.write("/key", "a", ttl=60)
    await client.refresh("/key", 600)
    found = await client.read("/key")
    assert (found.value, found.ttl in (599, 600)) == ("a", True)


async def test_refresh_keeps_the_created_index(client: Client) -> None:
    created = (await client.write("/key", "a", ttl=60)).createdIndex
    await client.refresh("/key", 60)
    assert (await client.read("/key")).createdIndex == created


async def test_refresh_makes_no_key(client: Client) -> None:
    with pytest.raises(EtcdKeyNotFound):
        await client.refresh("/key", 60)


async def test_refresh_takes_conditions(client: Client) -> None:
    index = (await client.write("/key", "a", ttl=60)).modifiedIndex
    await client.refresh("/key", 60, prevValue="a", prevIndex=index)
    with pytest.raises(EtcdCompareFailed):
        await client.refresh("/key", 60, prevIndex=index)


async def test_refresh_wakes_no_wait(client: Client) -> None:
    index = (await client.write("/key", "a", ttl=60)).modifiedIndex
    await client.refresh("/key", 60)
    await client.write("/key", "b")
    assert (await client.read("/key", wait=True, waitIndex=index + 1, timeout=DEADLINE)).value == "b"


async def test_a_plain_read_of_a_directory_holds_its_children(client: Client) -> None:
    await client.write("/dir/a/b", "1")
    found = await client.read("/dir")
    assert [node.key for node in found.get_subtree()] == ["/dir", "/dir/a"]


async def test_a_recursive_read_holds_all_below(client: Client) -> None:
    await client.write("/dir/a/b", "1")
    await client.write("/dir/c", "2")
    found = await client.read("/dir", recursive=True, sorted=True)
    assert [(leaf.key, leaf.value) for leaf in found.leaves] == [("/dir/a/b", "1"), ("/dir/c", "2")]


async def test_a_sorted_read_is_sorted(client: Client) -> None:
    for name in "dacb":
        await client.write(f"/dir/{name}", name)
    found = await client.read("/dir", sorted=True)
    assert [child.value for child in found.children] == ["a", "b", "c", "d"]


async def test_the_root_can_be_read(client: Client) -> None:
    await client.write("/key", "a")
    found = await client.read("/")
    assert (found.key, [child.key for child in found.children]) == ("/", ["/key"])


async def test_a_wait_gives_the_next_change(etcd: EtcdServer, client: Client) -> None:
    waits = asyncio.Event()

    def delay(seen: object) -> float:
        waits.set()
        return 0.0

    async with FaultProxy(etcd.url, delay=delay) as proxy, Client(proxy.url) as waiting:
        wait = asyncio.create_task(waiting.read("/dir", wait=True, recursive=True, timeout=DEADLINE))
        await waits.wait()
        changes = asyncio.create_task(_change_until(client, wait))
        assert (await wait).key == "/dir/key"
        await changes


async def _change_until(client: Client, done: asyncio.Task[object]) -> None:
    """The wait has been sent, but nothing tells when etcd has registered it."""
    while not done.done():
        await client.write("/dir/key", "a")


async def test_a_wait_from_an_index_gives_what_has_happened_since(client: Client) -> None:
    first = await client.write("/key", "a")
    await client.write("/key", "b")
    found = await client.read("/key", wait=True, waitIndex=first.modifiedIndex + 1, timeout=DEADLINE)
    assert found.value == "b"


async def test_a_wait_without_recursive_is_for_the_directory_alone(client: Client) -> None:
    index = (await client.write("/dir", dir=True)).modifiedIndex
    await client.write("/dir/key", "a")
    with pytest.raises(EtcdWatchTimedOut):
        await client.read("/dir", wait=True, waitIndex=index + 1, timeout=0.1)


async def test_a_wait_that_saw_nothing_tells_where_the_store_stood(client: Client) -> None:
    index = (await client.write("/key", "a")).modifiedIndex
    with pytest.raises(EtcdWatchTimedOut) as caught:
        await client.read("/other", wait=True, timeout=0.1)
    assert caught.value.index == index


async def test_delete_brings_what_was_there(client: Client) -> None:
    await client.write("/key", "a")
    before = (await client.delete("/key")).prev_node
    assert before is not None
    assert before.value == "a"


async def test_an_empty_directory_is_deleted_with_dir(client: Client) -> None:
    await client.write("/dir", dir=True)
    await client.delete("/dir", dir=True)
    with pytest.raises(EtcdKeyNotFound):
        await client.read("/dir")


async def test_a_directory_with_all_in_it_is_deleted_with_recursive(client: Client) -> None:
    await client.write("/dir/a/b", "1")
    await client.delete("/dir", recursive=True)
    with pytest.raises(EtcdKeyNotFound):
        await client.read("/dir")


async def test_a_delete_takes_prev_value(client: Client) -> None:
    await client.write("/key", "a & b")
    with pytest.raises(EtcdCompareFailed):
        await client.delete("/key", prevValue="a")
    assert (await client.delete("/key", prevValue="a & b")).action == "compareAndDelete"


async def test_a_delete_takes_prev_index(client: Client) -> None:
    index = (await client.write("/key", "a")).modifiedIndex
    with pytest.raises(EtcdCompareFailed):
        await client.delete("/key", prevIndex=index - 1)
    assert (await client.delete("/key", prevIndex=index)).action == "compareAndDelete"


async def test_set_and_get_are_other_names_of_write_and_read(client: Client) -> None:
    await client.set("/key", "a")
    assert (await client.get("/key")).value == "a"


async def test_a_host_and_a_port_make_a_client(etcd: EtcdServer) -> None:
    port = int(etcd.url.rpartition(":")[2])
    async with Client("127.0.0.1", port) as client:
        assert (await client.write("/key", "a")).value == "a"


async def test_pairs_of_host_and_port_make_a_client(etcd: EtcdServer) -> None:
    port = int(etcd.url.rpartition(":")[2])
    async with Client([("127.0.0.1", port), ("localhost", port)]) as client:
        assert client.endpoints == (f"http://127.0.0.1:{port}", f"http://localhost:{port}")


async def test_a_client_needs_no_running_loop_to_be_made(etcd: EtcdServer) -> None:
    client = await asyncio.to_thread(Client, etcd.url)
    async with client:
        assert (await client.write("/key", "a")).value == "a"


async def test_a_client_may_be_closed_twice(client: Client) -> None:
    await client.write("/key", "a")
    await client.close()
    await client.close()
