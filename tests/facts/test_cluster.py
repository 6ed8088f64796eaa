"""Facts, sections 5 and 8, and section 0 about two versions: what three members do that one does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from etcdorm import UsageError
from etcdorm.testing import EtcdCluster, EtcdServer
from etcdorm.v2 import (
    Client,
    EtcdCompareFailed,
    EtcdException,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EtcdWatchTimedOut,
)
from tests.conftest import every_etcd
from tests.support.raw import soon
from tests.support.wire import Raw, Reply


@pytest.fixture
async def leader(cluster: EtcdCluster) -> EtcdServer:
    return await asyncio.to_thread(cluster.leader)


@pytest.fixture
async def followers(cluster: EtcdCluster, leader: EtcdServer) -> list[EtcdServer]:
    return [member for member in cluster.members if member is not leader]


@pytest.fixture
async def at_leader(leader: EtcdServer) -> AsyncIterator[Client]:
    async with Client(leader.url) as client:
        yield client


# -- consistency -------------------------------------------------------------------------------------------------------


async def test_a_follower_answers_writes_as_the_leader_does(followers: list[EtcdServer]) -> None:
    raw = Raw(followers[0].url)
    assert (await raw.put("/key", "value=a")).says == (201, "set")
    assert (await raw.post("/queue", "value=a")).says == (201, "create")
    assert (await raw.delete("/key")).says == (200, "delete")


async def test_a_plain_read_of_a_follower_may_be_stale_and_the_clients_never_goes_back(
    cluster: EtcdCluster, at_leader: Client, followers: list[EtcdServer]
) -> None:
    stale = 0
    async with Client(cluster.urls) as hopping:
        for number in range(200):
            await asyncio.to_thread(followers[0].pause)
            await at_leader.write("/key", number)
            async with Raw(followers[0].url).asking("/v2/keys/key") as asked:
                followers[0].resume()  # it finds the question and the news of the write
                found = await asked()
            stale += found.status == 404 or int(found.node["value"]) < number
            seen = await hopping.read("/key", quorum=number % 10 == 0)
            if number % 10 == 0:
                assert seen.value == str(number)  # with quorum, never stale
                newest = number
            hopping._caller.endpoints.failed(hopping.endpoints[0], time.monotonic() - 60)  # the next member's turn
            assert int((await hopping.read("/key")).value or 0) >= newest
            if stale and number > 20:
                break
    assert stale


async def test_a_member_without_a_majority_answers_plain_reads_and_no_others(
    leader: EtcdServer, followers: list[EtcdServer], at_leader: Client
) -> None:
    await at_leader.write("/key", "a")
    for follower in followers:
        await asyncio.to_thread(follower.pause)
    assert (await Raw(leader.url).get("/key")).node["value"] == "a"
    assert (await at_leader.read("/key")).value == "a"
    with pytest.raises(EtcdUnavailable):
        await at_leader.read("/key", quorum=True, timeout=0.3)


async def test_a_recursive_read_is_one_moment_of_its_tree_on_every_member(
    cluster: EtcdCluster, at_leader: Client
) -> None:
    """The writer moves ``b`` and then ``a``, so that no moment has an ``a`` above its ``b``."""
    await at_leader.write("/pair/a", 0)
    await at_leader.write("/pair/b", 0)

    async def write() -> None:
        for number in range(1, 150):
            await at_leader.write("/pair/b", number)
            await at_leader.write("/pair/a", number)

    writing = asyncio.create_task(write())
    apart = 0

    async def read(url: str, *, quorum: bool) -> None:
        nonlocal apart
        async with Client(url) as client:
            await client.read("/pair", quorum=True)  # from here on this member has both
            while not writing.done():
                pair = await client.read("/pair", recursive=True, quorum=quorum)
                a, b = (int(node["value"]) for node in sorted(pair.node["nodes"], key=lambda node: node["key"]))
                assert b - a in (0, 1)
                assert all(node["modifiedIndex"] <= pair.etcd_index for node in pair.node["nodes"])
                apart += b != a

    await asyncio.gather(*(read(url, quorum=quorum) for url in cluster.urls for quorum in (False, True)), writing)
    assert apart


async def test_the_index_is_the_same_on_all_members(cluster: EtcdCluster, at_leader: Client) -> None:
    for number in range(20):
        await at_leader.write(f"/keys/{number}", "a", 60)
    assert len({(await Raw(url).get("/keys?quorum=true")).index for url in cluster.urls}) == 1


# -- writes whose answer does not come ---------------------------------------------------------------------------------


async def test_a_write_to_a_leader_that_has_lost_its_majority_may_happen_after_its_caller_gave_up(
    leader: EtcdServer, followers: list[EtcdServer], at_leader: Client
) -> None:
    index = (await at_leader.write("/key", "a")).modifiedIndex
    for follower in followers:
        await asyncio.to_thread(follower.pause)
    with pytest.raises(EtcdUnconfirmed, match="may still happen"):
        await at_leader.write("/key", "b", timeout=0.3)
    for follower in followers:
        await asyncio.to_thread(follower.resume)
    assert (await at_leader.watch("/key", index + 1, timeout=20)).value == "b"


LATE = {
    "PUT": ("PUT", "value=old", (200, "set")),
    "PUT prevIndex": ("PUT", "value=old&prevIndex={index}", (412, 101)),
    "refresh": ("PUT", "refresh=true&ttl=60&prevExist=true", (200, "update")),
    "DELETE": ("DELETE", None, (200, "delete")),
    "DELETE prevIndex": ("DELETE", "?prevIndex={index}", (412, 101)),
}


async def test_a_late_write_lands_on_top_of_newer_ones_unless_it_names_an_index(
    followers: list[EtcdServer], at_leader: Client
) -> None:
    paused = followers[0]
    indexes = {}
    for number, case in enumerate(LATE):
        indexes[case] = (await at_leader.write(f"/late/{number}", "before")).modifiedIndex
    await asyncio.to_thread(paused.pause)
    late: dict[str, asyncio.Task[Reply]] = {}
    for number, (case, (method, form, _)) in enumerate(LATE.items()):
        text = (form or "").format(index=indexes[case])
        target = f"/v2/keys/late/{number}" + (text if method == "DELETE" else "")
        late[case] = asyncio.create_task(Raw(paused.url).ask(method, target, text if method == "PUT" else None))
    # The client's callers are told that they can't know.
    async with Client(paused.url) as client:
        with pytest.raises(EtcdUnconfirmed):
            await client.write("/other", "old", timeout=0.3)
    for number in range(len(LATE)):
        await at_leader.write(f"/late/{number}", "newer")
    await asyncio.to_thread(paused.resume)
    assert {case: (await reply).says for case, reply in late.items()} == {case: LATE[case][2] for case in LATE}
    assert (await at_leader.read("/late/0", quorum=True)).value == "old"
    assert (await at_leader.read("/late/1", quorum=True)).value == "newer"
    assert (await at_leader.read("/late/2", quorum=True)).ttl is not None  # a TTL on another's key
    assert not await at_leader.contains("/late/3")
    assert (await at_leader.read("/late/4", quorum=True)).value == "newer"


async def test_a_late_swap_of_the_clients_is_harmless(followers: list[EtcdServer], at_leader: Client) -> None:
    before = await at_leader.write("/key", "before")
    await asyncio.to_thread(followers[0].pause)
    async with Client(followers[0].url) as client:
        with pytest.raises(EtcdUnconfirmed):
            await client.write("/key", "old", prevIndex=before.modifiedIndex, timeout=0.3)
    newer = await at_leader.write("/key", "newer", prevIndex=before.modifiedIndex)
    await asyncio.to_thread(followers[0].resume)
    # Whatever was sent to that member before this has been answered by then, or will be refused.
    await Raw(followers[0].url).put("/other", "value=a")
    assert (await at_leader.read("/key", quorum=True)).modifiedIndex == newer.modifiedIndex


# -- members that die --------------------------------------------------------------------------------------------------


async def test_no_story_that_a_writer_is_told_is_untrue_when_the_leader_is_killed(cluster: EtcdCluster) -> None:
    told: dict[str, list[str]] = {"done": [], "refused": [], "open": []}
    enough = asyncio.Event()

    async def write(client: Client, writer: int) -> None:
        """Swaps on one key that all writers share, and keys of one's own."""
        for number in range(25):
            text = f"{writer}-{number}"
            try:
                if number % 2:
                    current = await client.read("/story/shared", quorum=True)
                    await client.write("/story/shared", text, prevIndex=current.modifiedIndex, unique=True)
                else:
                    await client.write(f"/story/{text}", text)
            except EtcdCompareFailed:
                told["refused"].append(text)
            except (EtcdUnconfirmed, EtcdUnavailable):
                told["open"].append(text)
            else:
                told["done"].append(text)
                if len(told["done"]) == 40:
                    enough.set()

    async with Client(cluster.urls, timeout=2) as client:
        start = (await client.write("/story/shared", "start")).modifiedIndex
        async with client.eternal_watch("/story", start + 1, recursive=True) as events:
            writing = asyncio.gather(*(write(client, writer) for writer in range(6)))
            await enough.wait()
            await asyncio.to_thread((await asyncio.to_thread(cluster.leader)).kill)
            await writing
            await client.write("/story/end", "end", timeout=20)
            seen: list[str] = []
            while "end" not in seen:
                seen.append((await soon(events)).value or "")
    assert sum(map(len, told.values())) == 150
    assert len(seen) == len(set(seen))  # nothing happened twice
    assert set(told["done"]) <= set(seen)
    assert not set(told["refused"]) & set(seen)


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "quorum read": lambda client: client.read("/key", quorum=True),
    "write": lambda client: client.write("/key", "a"),
    "append": lambda client: client.write("/queue", "a", append=True),
    "swap": lambda client: client.write("/key", "a", prevIndex=1),
    "delete": lambda client: client.delete("/key"),
    "refresh": lambda client: client.refresh("/key", 60),
    "watch": lambda client: client.watch("/key", timeout=0.5),
}


async def test_every_call_keeps_its_one_deadline_when_two_members_are_silent(
    cluster: EtcdCluster, followers: list[EtcdServer]
) -> None:
    for follower in followers:
        await asyncio.to_thread(follower.pause)

    async def call(name: str) -> EtcdException:
        async with Client(cluster.urls, timeout=0.5) as client:
            with pytest.raises(EtcdException) as caught:
                await CALLS[name](client)
            return caught.value

    async with asyncio.timeout(4):  # less than etcd itself takes
        errors = await asyncio.gather(*map(call, CALLS))
    for name, error in zip(CALLS, errors, strict=True):
        reads = name in ("quorum read", "watch")
        assert isinstance(error, EtcdUnavailable | EtcdWatchTimedOut if reads else EtcdUnconfirmed), (name, error)


# -- pages -------------------------------------------------------------------------------------------------------------


async def test_a_follower_has_no_statistics_of_a_leader(followers: list[EtcdServer]) -> None:
    assert (await Raw(followers[0].url).ask("GET", "/v2/stats/leader")).status == 403
    async with Client(followers[0].url) as client:
        with pytest.raises(EtcdRefused, match="not current leader"):
            await client.leader_stats()


async def test_the_machines_hold_dead_members_too(cluster: EtcdCluster, followers: list[EtcdServer]) -> None:
    await asyncio.to_thread(followers[0].kill)
    async with Client(cluster.urls) as client:
        assert sorted(await client.machines()) == sorted(cluster.urls)


# -- two versions in one cluster ---------------------------------------------------------------------------------------


async def test_the_update_of_a_directory_parts_the_members_of_two_versions_and_the_client_sends_none() -> None:
    binaries = sorted(every_etcd(), key=lambda binary: binary.version)
    older, newer = binaries[0], binaries[-1]
    parted = int(older.version < "3.5" <= newer.version)
    async with EtcdCluster(binary=[older, newer, older]) as cluster:
        raw = Raw(cluster.urls[0])
        await raw.put("/dir", "dir=true")
        await raw.put("/dir", "dir=true&prevExist=true&ttl=600")
        await raw.put("/key", "value=a")
        indexes = [(await Raw(url).get("/key?quorum=true")).index for url in cluster.urls]
        assert indexes[0] == indexes[2] == indexes[1] + parted
        async with Client(cluster.urls) as client:
            with pytest.raises(UsageError, match="part for good"):
                await client.write("/dir", dir=True, prevExist=True, ttl=600)
