"""A member that is cut off from its peers, and that clients still reach: what is read, written and watched there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from etcdorm import ConflictError, EtcdModel, UnavailableError, UnconfirmedError, connect
from etcdorm.errors import UsageError
from etcdorm.testing import EtcdBinary, EtcdCluster, EtcdServer
from etcdorm.v2 import Client, EtcdLeaderElectionInProgress, EtcdUnavailable, EtcdUnconfirmed


class Unit(EtcdModel, path="/units/{name}"):
    name: str
    size: int = 0


@pytest.fixture
async def parted(etcd_binary: EtcdBinary) -> AsyncIterator[EtcdCluster]:
    """A cluster of three whose members can be isolated."""
    async with EtcdCluster(binary=etcd_binary, partitions=True) as cluster:
        yield cluster


async def cut_off(cluster: EtcdCluster) -> tuple[EtcdServer, list[str]]:
    """The old leader, isolated, and the URLs of the others, which have a new one."""
    old = await asyncio.to_thread(cluster.leader)
    await asyncio.to_thread(cluster.isolate, old)
    await asyncio.to_thread(wait_for_another, cluster, old)
    return old, [url for url in cluster.urls if url != old.url]


async def told_leader(client: Client) -> str | None:
    try:
        return (await client.leader())["name"]
    except EtcdLeaderElectionInProgress:
        return None


def wait_for_another(cluster: EtcdCluster, leader: EtcdServer) -> None:
    while cluster.leader() is leader:
        time.sleep(0.05)


async def test_a_client_of_a_leader_that_is_cut_off_is_told_so_and_one_of_all_members_goes_on(
    parted: EtcdCluster,
) -> None:
    async with Client(parted.urls) as client:
        before = await client.write("/key", "old")
    old, rest = await cut_off(parted)
    async with Client(old.url, timeout=2) as alone, Client([old.url, *rest], timeout=20) as client:
        assert (await alone.read("/key")).value == "old"  # a plain read asks nobody else
        with pytest.raises(EtcdUnavailable):
            await alone.read("/key", quorum=True)
        with pytest.raises(EtcdUnconfirmed):
            await alone.write("/key", "lost", prevIndex=before.modifiedIndex)
        assert (await client.read("/key", quorum=True)).value == "old"
        written = await client.write("/key", "new", prevIndex=before.modifiedIndex)
        await asyncio.to_thread(parted.rejoin)
        assert (await alone.watch("/key", before.modifiedIndex + 1, timeout=20)).value == "new"
        for url in parted.urls:
            async with Client(url, timeout=20) as each:
                assert (await each.read("/key", quorum=True)).modifiedIndex == written.modifiedIndex


async def test_a_leader_that_is_cut_off_goes_on_saying_that_it_leads_but_not_that_there_is_a_leader(
    parted: EtcdCluster,
) -> None:
    old, _ = await cut_off(parted)
    async with Client(old.url, timeout=5) as alone:
        leader = await told_leader(alone)
        while leader is not None:  # until it has noticed
            assert leader == old.name
            leader = await told_leader(alone)
        assert (await alone.stats())["state"] == "StateLeader"


async def test_no_read_goes_back_in_time_to_a_member_that_is_cut_off(parted: EtcdCluster) -> None:
    async with Client(parted.urls) as client:
        await client.write("/key", "old")
    old, rest = await cut_off(parted)
    async with Client([*rest, old.url], timeout=20) as client:
        await client.write("/key", "new")
        for url in rest:
            client._caller.endpoints.failed(url, time.monotonic())
        assert client.endpoints[0] == old.url
        assert (await client.read("/key")).value == "new"


async def test_a_watch_leaves_a_member_that_is_cut_off(parted: EtcdCluster) -> None:
    async with Client(parted.urls) as client:
        await client.write("/key", "old")
    old = await asyncio.to_thread(parted.leader)
    rest = [url for url in parted.urls if url != old.url]
    async with Client([old.url, *rest]) as watching, watching.eternal_watch("/key") as events:
        await asyncio.to_thread(parted.isolate, old)
        await asyncio.to_thread(wait_for_another, parted, old)
        async with Client(rest, timeout=20) as client:
            await client.write("/key", "new")
        async with asyncio.timeout(60):
            assert (await anext(aiter(events))).value == "new"


async def test_a_save_at_a_member_that_is_cut_off_is_refused_its_place_by_one_at_the_others(
    parted: EtcdCluster,
) -> None:
    async with connect(parted.urls) as session:
        await session.save(Unit(name="u"))
    old, rest = await cut_off(parted)
    async with connect(old.url, timeout=2) as alone, connect(rest, timeout=20) as session:
        stale = await alone.load(Unit, "u")
        unit = await session.load(Unit, "u")
        unit.size = 2
        await session.save(unit)
        stale.size = 1
        with pytest.raises((UnconfirmedError, UnavailableError)):
            await alone.save(stale)
        await asyncio.to_thread(parted.rejoin)
        async with connect(old.url, timeout=20) as again:
            with pytest.raises(ConflictError):
                await again.save(stale)
        assert (await session.load(Unit, "u")).size == 2


async def test_only_a_cluster_with_partitions_can_be_parted(cluster: EtcdCluster) -> None:
    with pytest.raises(UsageError, match="partitions=True"):
        cluster.isolate(cluster.members[0])
