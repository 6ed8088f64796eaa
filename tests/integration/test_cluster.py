"""A cluster of real etcd members, and the client on it when members die."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from etcdorm.errors import UsageError
from etcdorm.testing import EtcdBinary, EtcdCluster
from etcdorm.v2 import Client, EtcdUnconfirmed


async def test_the_members_of_a_cluster_know_each_other(cluster: EtcdCluster) -> None:
    async with Client(cluster.urls) as client:
        members = await client.members()
        assert sorted(url for member in members.values() for url in member["clientURLs"]) == sorted(cluster.urls)
        assert (await client.leader())["clientURLs"] == [(await asyncio.to_thread(cluster.leader)).url]


async def test_a_write_on_a_follower_is_forwarded(cluster: EtcdCluster) -> None:
    follower, other = await asyncio.to_thread(cluster.followers)
    async with Client(follower.url) as here, Client(other.url) as there:
        written = await here.write("/key", "a")
        assert (await there.read("/key", quorum=True)).modifiedIndex == written.modifiedIndex


async def test_writes_go_on_after_the_leader_was_killed(cluster: EtcdCluster) -> None:
    async with Client(cluster.urls, timeout=20) as client:
        await client.write("/key", 0)
        leader = await asyncio.to_thread(cluster.leader)
        await asyncio.to_thread(leader.kill)
        told, deadline = 0, time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                await client.write("/key", 1, timeout=20)
            except EtcdUnconfirmed:
                continue
            told = 1
            break
        assert told == 1
        assert (await client.read("/key", quorum=True)).value == "1"
        assert await asyncio.to_thread(cluster.leader) is not leader


async def test_a_restarted_member_catches_up(cluster: EtcdCluster) -> None:
    follower = (await asyncio.to_thread(cluster.followers))[0]
    await asyncio.to_thread(follower.kill)
    async with Client([url for url in cluster.urls if url != follower.url]) as client:
        written = await client.write("/key", "a")
    await asyncio.to_thread(follower.restart)
    async with Client(follower.url) as client:
        assert (await client.read("/key", quorum=True)).modifiedIndex == written.modifiedIndex


async def test_no_read_goes_back_in_time_when_members_take_turns(cluster: EtcdCluster) -> None:
    async with Client(cluster.urls) as client, Client((await asyncio.to_thread(cluster.leader)).url) as writer:
        await writer.write("/key", 0)
        seen = 0
        for number in range(1, 300):
            await writer.write("/key", number)
            client._caller.endpoints.failed(client.endpoints[0], time.monotonic() - 60)  # the next member's turn
            found = await client.read("/key")
            assert int(found.value or 0) >= seen
            seen = int(found.value or 0)


async def test_a_paused_member_does_not_cost_more_than_the_deadline(cluster: EtcdCluster) -> None:
    follower = (await asyncio.to_thread(cluster.followers))[0]
    others = [url for url in cluster.urls if url != follower.url]
    async with Client([follower.url, *others], timeout=4) as client:
        await client.read("/")
        await asyncio.to_thread(follower.pause)
        begin = time.monotonic()
        await client.read("/")  # goes on to the next after half of its time
        assert time.monotonic() - begin < 4
        await client.write("/key", "a")


async def test_what_was_told_done_is_there_after_the_leader_was_killed_under_writes(cluster: EtcdCluster) -> None:
    done: list[str] = []
    open_questions, enough = 0, asyncio.Event()

    async def write(client: Client, writer: int) -> None:
        nonlocal open_questions
        for number in range(40):
            key = f"/keys/{writer}-{number}"
            try:
                await client.write(key, "x", prevExist=False, timeout=30)
            except EtcdUnconfirmed:
                open_questions += 1
            else:
                done.append(key)
                if len(done) == 40:
                    enough.set()

    async with Client(cluster.urls) as client:
        writing = asyncio.gather(*(write(client, writer) for writer in range(8)))
        await enough.wait()
        await asyncio.to_thread((await asyncio.to_thread(cluster.leader)).kill)
        await writing
        found = {leaf.key for leaf in (await client.read("/keys", recursive=True, quorum=True)).leaves}
    assert set(done) <= found
    assert len(done) + open_questions == 320
    assert len(found) <= 320


def test_a_cluster_leaves_no_process_behind(etcd_binary: EtcdBinary) -> None:
    with EtcdCluster(binary=etcd_binary) as cluster:
        pids = [member.pid for member in cluster.members]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_cluster_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one member"):
        EtcdCluster(0)


def test_a_cluster_that_is_not_started_has_no_members() -> None:
    with pytest.raises(UsageError, match="not started"):
        _ = EtcdCluster().members
