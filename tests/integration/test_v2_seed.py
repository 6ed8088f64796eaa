"""What the client has from python-etcd beyond reading and writing: update, pop, watches, the cluster, and results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from etcdorm import LockLostError, UnconfirmedError, UsageError
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, Seen, first
from etcdorm.v2 import (
    Client,
    EtcdAlreadyExist,
    EtcdClusterIdChanged,
    EtcdCompareFailed,
    EtcdConnectionFailed,
    EtcdEventIndexCleared,
    EtcdKeyNotFound,
    EtcdLeaderElectionInProgress,
    EtcdLockExpired,
    EtcdProtocolError,
    EtcdRefused,
    EtcdResult,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EternalWatch,
    StopWatching,
)
from etcdorm.v2.pace import Pace
from tests.support.raw import flush_history, soon

# -- update, pop, test_and_set, contains -------------------------------------------------------------------------------


async def test_update_keeps_the_ttl_that_was_left(client: Client) -> None:
    await client.write("/key", "a", ttl=600)
    result = await client.read("/key")
    result.value = "b"
    updated = await client.update(result)
    assert updated.ttl in (599, 600)


async def test_update_makes_no_key_again_that_was_deleted(client: Client) -> None:
    result = await client.write("/key", "a")
    await client.delete("/key")
    with pytest.raises(EtcdKeyNotFound):
        await client.update(result)


async def test_a_result_of_an_update_can_be_updated_again(client: Client) -> None:
    result = await client.write("/key", "a")
    for value in ("b", "c"):
        result.value = value
        result = await client.update(result)
    assert (await client.read("/key")).value == "c"


async def test_update_refuses_a_directory_before_anything_is_sent(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        directory = await client.write("/dir", dir=True)
        with pytest.raises(UsageError, match="directory"):
            await client.update(directory)
        assert proxy.methods() == ["PUT"]


async def test_update_refuses_a_result_without_a_value_before_anything_is_sent(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        result = await client.write("/key", "a")
        result.value = None
        with pytest.raises(UsageError):
            await client.update(result)
        assert proxy.methods() == ["PUT"]


async def test_pop_deletes_a_key_and_brings_what_it_had(client: Client) -> None:
    await client.write("/key", "a")
    assert (await client.pop("/key")).value == "a"
    assert not await client.contains("/key")


async def test_pop_takes_conditions(client: Client) -> None:
    await client.write("/key", "a")
    with pytest.raises(EtcdCompareFailed):
        await client.pop("/key", prevValue="b")


async def test_test_and_set_may_set_a_ttl(client: Client) -> None:
    await client.write("/key", "a")
    assert (await client.test_and_set("/key", "b", "a", ttl=60)).ttl == 60


@pytest.mark.parametrize(("key", "there"), [("/dir/key", True), ("/dir", True), ("/no/such", False)])
async def test_contains(client: Client, key: str, there: bool) -> None:
    await client.write("/dir/key", "a")
    assert await client.contains(key) is there


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "pop": lambda client: client.pop("/key"),
    "test_and_set": lambda client: client.test_and_set("/key", "b", "a"),
}


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER])
@pytest.mark.parametrize("call", CALLS)
async def test_a_write_whose_answer_is_lost_is_sent_once(etcd: EtcdServer, call: str, fate: Fate) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        await client.write("/key", "a")
        before = len(proxy.seen)
        proxy.judge = lambda seen: fate if seen.number > before and seen.method != "GET" else Fate.PASS
        with pytest.raises(EtcdUnconfirmed):
            await CALLS[call](client)
        await client.read("/")  # whatever was sent before it has arrived by now
        assert len(proxy.methods()[before:]) == 2


# -- results -----------------------------------------------------------------------------------------------------------


async def test_children_of_a_recursive_read_are_all_that_have_nothing_below(client: Client) -> None:
    await client.write("/dir/a/b", 1)
    await client.write("/dir/c", 2)
    await client.write("/dir/empty", dir=True)
    result = await client.read("/dir", recursive=True)
    assert {child.key for child in result.children} == {"/dir/a/b", "/dir/c", "/dir/empty"}


async def test_children_of_a_plain_read_are_the_nodes_in_the_directory(client: Client) -> None:
    await client.write("/dir/a/b", 1)
    await client.write("/dir/c", 2)
    assert {child.key for child in (await client.read("/dir")).children} == {"/dir/a", "/dir/c"}


async def test_an_empty_directory_has_no_children(client: Client) -> None:
    await client.write("/dir", dir=True)
    assert list((await client.read("/dir")).children) == []


async def test_the_result_of_a_write_equals_that_of_a_read_of_the_same_node(client: Client) -> None:
    await client.write("/key", "a")
    assert await client.write("/key", "b") == await client.read("/key")


async def test_results_of_different_writes_differ(client: Client) -> None:
    assert await client.write("/key", "a") != await client.write("/key", "a")


# -- watch and eternal_watch -------------------------------------------------------------------------------------------


async def test_watch_may_be_recursive(client: Client) -> None:
    index = (await client.write("/dir/key", "a")).modifiedIndex
    assert (await client.watch("/dir", index, True)).key == "/dir/key"


async def test_an_eternal_watch_skips_nothing_that_happens_between_its_steps(client: Client) -> None:
    start = (await client.write("/key", "start")).modifiedIndex
    watch = client.eternal_watch("/key", index=start + 1)
    seen = []
    for number in range(30):
        await client.write("/key", f"{number} a")
        await client.write("/key", f"{number} b")
        seen.append((await soon(watch)).value)
    seen += [(await soon(watch)).value for _ in range(30)]
    assert seen == [f"{number} {part}" for number in range(30) for part in "ab"]


async def test_an_eternal_watch_without_an_index_begins_with_its_first_step(client: Client) -> None:
    await client.write("/key", "before")
    watch = client.eternal_watch("/key")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(watch), 0.3)
    await client.write("/key", "after")
    assert (await soon(watch)).value == "after"


async def test_an_eternal_watch_goes_on_after_its_connection_broke(etcd: EtcdServer, client: Client) -> None:
    start = (await client.write("/key", "a")).modifiedIndex
    async with FaultProxy(etcd.url, judge=first("GET", Fate.CUT_AFTER)) as proxy, Client(proxy.url) as watching:
        watch = watching.eternal_watch("/key", index=start + 1)
        await client.write("/key", "b")
        await client.write("/key", "c")
        assert [(await soon(watch)).value for _ in range(2)] == ["b", "c"]


async def test_an_eternal_watch_goes_on_after_etcd_was_restarted(etcd: EtcdServer, client: Client) -> None:
    start = (await client.write("/key", "a")).modifiedIndex
    watch = client.eternal_watch("/key", index=start + 1)
    waiting = asyncio.create_task(soon(watch))
    await asyncio.sleep(0)
    await asyncio.to_thread(etcd.restart)
    await client.write("/key", "b")
    assert (await waiting).value == "b"


def short_polls(client: Client, key: str, index: int) -> EternalWatch:
    watch = client.eternal_watch(key, index)
    watch._pace = Pace(0.05)
    return watch


async def test_an_eternal_watch_goes_on_after_a_poll_that_saw_nothing(client: Client) -> None:
    start = (await client.write("/key", "a")).modifiedIndex
    watch = short_polls(client, "/key", start + 1)
    waiting = asyncio.create_task(soon(watch))
    await flush_history(client)  # so it has to have moved on
    await client.write("/key", "b")
    assert (await waiting).value == "b"


async def test_an_eternal_watch_of_a_cleared_history_says_so(client: Client) -> None:
    start = (await client.write("/key", "a")).modifiedIndex
    watch = client.eternal_watch("/key", index=start + 1)
    await client.write("/key", "b")
    await flush_history(client)
    with pytest.raises(EtcdEventIndexCleared) as caught:
        await soon(watch)
    assert caught.value.index > start + 1000


async def test_an_eternal_watch_of_an_index_that_the_store_has_not_reached_says_so(client: Client) -> None:
    now = (await client.write("/key", "a")).modifiedIndex
    watch = short_polls(client, "/key", now + 1_000_000)
    with pytest.raises(EtcdEventIndexCleared, match="made anew"):
        await soon(watch)


async def test_an_eternal_watch_leaves_out_keys_whose_name_begins_alike(client: Client) -> None:
    start = (await client.write("/p/key", "a")).modifiedIndex
    await client.delete("/p", recursive=True)
    await client.write("/pxx", "b")
    assert (await soon(client.eternal_watch("/pxx", index=start))).key == "/pxx"


async def test_an_eternal_watch_tells_of_a_directory_above_that_was_deleted(client: Client) -> None:
    start = (await client.write("/dir/key", "a")).modifiedIndex
    await client.delete("/dir", recursive=True)
    event = await soon(client.eternal_watch("/dir/key", index=start + 1))
    assert (event.action, event.key) == ("delete", "/dir")


async def test_an_eternal_watch_ends_when_its_client_is_closed(etcd: EtcdServer) -> None:
    arrived = asyncio.Event()

    def judge(seen: Seen) -> Fate:
        arrived.set()
        return Fate.PASS

    async with FaultProxy(etcd.url, judge=judge) as proxy, Client(proxy.url) as client:
        waiting = asyncio.create_task(soon(client.eternal_watch("/key", index=1_000_000)))
        await arrived.wait()
        await client.close()
        with pytest.raises(UsageError, match="closed"):
            await waiting


async def test_a_closed_eternal_watch_is_at_its_end(client: Client) -> None:
    watch = client.eternal_watch("/key", index=1)
    await watch.aclose()
    assert [event async for event in watch] == []


async def test_a_callback_gets_every_event_until_it_stops_the_watch(client: Client) -> None:
    start = (await client.write("/key", 1)).modifiedIndex
    last = [await client.write("/key", number) for number in (2, 3, 4)][1]
    seen: list[str | None] = []

    def callback(event: EtcdResult) -> None:
        seen.append(event.value)
        if event.value == "3":
            raise StopWatching

    index = await client.eternal_watch("/key", index=start).call(callback)
    assert (seen, index) == (["1", "2", "3"], last.modifiedIndex + 1)


async def test_a_callback_may_be_asynchronous(client: Client) -> None:
    start = (await client.write("/key", 1)).modifiedIndex

    async def callback(event: EtcdResult) -> None:
        await asyncio.sleep(0)
        raise StopWatching

    assert await client.eternal_watch("/key", index=start).call(callback) == start + 1


# -- the cluster -------------------------------------------------------------------------------------------------------


async def test_members_are_found_by_their_ids(client: Client, etcd: EtcdServer) -> None:
    ((identity, member),) = (await client.members()).items()
    assert (member["id"], member["clientURLs"]) == (identity, [etcd.url])


async def test_the_leader_is_one_of_the_members(client: Client) -> None:
    leader = await client.leader()
    assert (await client.members())[leader["id"]] == leader


async def test_versions(client: Client, etcd: EtcdServer) -> None:
    version = etcd.binary.version
    assert await client.version() == version
    assert (await client.cluster_version()).split(".")[:2] == version.split(".")[:2]


async def test_statistics(client: Client) -> None:
    leader = await client.leader()
    assert (await client.stats())["id"] == leader["id"]
    assert (await client.leader_stats())["leader"] == leader["id"]
    before = (await client.store_stats())["setsSuccess"]
    await client.write("/key", "a")
    assert (await client.store_stats())["setsSuccess"] == before + 1


def answering(status: str, body: str) -> Callable[[Seen], bytes]:
    return lambda seen: f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("call", "status", "body", "kind"),
    [
        (Client.leader, "503 Service Unavailable", '{"message":"During election"}', EtcdLeaderElectionInProgress),
        (Client.leader_stats, "403 Forbidden", '{"message":"not current leader"}', EtcdRefused),
        (Client.members, "200 OK", "<html>", EtcdProtocolError),
        (Client.members, "200 OK", "{}", EtcdProtocolError),
        (Client.members, "200 OK", '{"members":[{}]}', EtcdProtocolError),
        (Client.machines, "200 OK", "<html>", EtcdProtocolError),
        (Client.machines, "404 Not Found", "404 page not found", EtcdProtocolError),
        (Client.version, "200 OK", "[]", EtcdProtocolError),
        (Client.stats, "502 Bad Gateway", "<html>", EtcdUnavailable),
    ],
)
async def test_answers_that_are_none(
    etcd: EtcdServer, call: Callable[..., Awaitable[Any]], status: str, body: str, kind: type[Exception]
) -> None:
    async with FaultProxy(etcd.url, answer=answering(status, body)) as proxy, Client(proxy.url, timeout=0.5) as client:
        with pytest.raises(kind):
            await call(client)


async def test_the_cluster_is_asked_at_another_endpoint_when_one_is_dead(etcd: EtcdServer) -> None:
    async with Client(["http://127.0.0.1:1", etcd.url]) as client:
        assert await client.machines() == [etcd.url]
        assert client.base_uri == etcd.url


async def test_a_question_about_the_cluster_has_a_deadline() -> None:
    async with Client("http://127.0.0.1:1", timeout=0.2) as client:
        with pytest.raises(EtcdUnavailable):
            await client.leader()


# -- making a client ---------------------------------------------------------------------------------------------------


def test_a_client_tells_where_it_goes() -> None:
    client = Client("localhost", 4003, protocol="https", version_prefix="/etcd/")
    assert (client.base_uri, client.protocol, client.host, client.port, client.key_endpoint) == (
        "https://localhost:4003",
        "https",
        "localhost",
        4003,
        "/etcd/keys",
    )


@pytest.mark.parametrize(("url", "port"), [("http://[::1]", 80), ("https://a", 443), ("http://[::1]:7", 7)])
def test_a_url_has_a_port_even_when_it_names_none(url: str, port: int) -> None:
    assert Client(url).port == port


@pytest.mark.parametrize("prefix", ["v2", "/v2?x", "/..", "/v2//", "/a b", "/v2#"])
def test_a_version_prefix_that_would_lead_elsewhere_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match="version_prefix"):
        Client(version_prefix=prefix)


async def test_a_version_prefix_is_that_of_keys_and_pages_alike(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url, answer=answering("200 OK", json.dumps({"action": "get", "members": []}))) as proxy:
        async with Client(proxy.url, version_prefix="/etcd") as client:
            await client.read("/key")
            await client.members()
        assert [seen.target for seen in proxy.seen] == ["/etcd/keys/key", "/etcd/members"]


async def test_another_cluster_than_the_expected_one_is_told(etcd: EtcdServer) -> None:
    async with Client(etcd.url, expected_cluster_id="123") as client:
        with pytest.raises(EtcdClusterIdChanged, match="not of 123"):
            await client.read("/")


async def test_the_expected_cluster_is_let_through(client: Client, etcd: EtcdServer) -> None:
    async with Client(etcd.url, expected_cluster_id="123") as stranger:
        with pytest.raises(EtcdClusterIdChanged) as caught:
            await stranger.members()
    found = str(caught.value).split("cluster ")[1].split(",")[0]
    async with Client(etcd.url, expected_cluster_id=found) as friend:
        assert (await friend.write("/key", "a")).value == "a"


def test_the_names_that_only_locks_and_clusters_raise_are_in_the_tree() -> None:
    assert issubclass(EtcdLockExpired, LockLostError)
    assert issubclass(EtcdClusterIdChanged, UnconfirmedError)
    assert not issubclass(EtcdClusterIdChanged, EtcdConnectionFailed)
    assert not issubclass(EtcdAlreadyExist, EtcdConnectionFailed)
