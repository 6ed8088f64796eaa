"""Keeping a model's record alive, beside whatever else is done with the model. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import LeaseLapsedError, UsageError
from etcdorm.path import Path
from tests.support.sessions import Doc, Kind, Node, Process, now, texts, wipe
from tests.support.virtual import run

KINDS = pytest.mark.parametrize("kind", [Node, Doc], ids=["directory", "document"])
TTL = 30


@KINDS
def test_a_refresh_leaves_alone_what_a_save_has_noted_meanwhile(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"), ttl=TTL)
        process.store.fail("touch", "slow", seconds=4)
        refreshing = asyncio.create_task(process.session.refresh(node, ttl=TTL))
        await asyncio.sleep(3)  # it has happened, and its answer is on its way
        node.port = 1
        await process.session.save(node)
        await refreshing
        assert node.etcd is not None
        assert (node.etcd.version, node.etcd.record.fields) == (
            process.etcd.entry(Path.parse(node.etcd.path)).version,  # type: ignore[union-attr]  # it is there
            texts(process.etcd, node.etcd.path),
        )
        node.port = 2
        await process.session.save(node)

    run(scenario())


@KINDS
def test_a_refresh_that_comes_too_late_leaves_alone_what_was_made_anew(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"), ttl=TTL)
        process.store.fail("touch", "slow", seconds=10)
        refreshing = asyncio.create_task(process.session.refresh(node, ttl=TTL))
        await asyncio.sleep(1)
        wipe(process.etcd)
        await asyncio.sleep(1)
        again = await process.session.save(kind(name="n1"), ttl=TTL)
        node.__dict__.update(again.__dict__)
        with pytest.raises(LeaseLapsedError):
            await refreshing
        assert node.etcd == again.etcd

    run(scenario())


@KINDS
def test_a_record_is_kept_alive_and_its_object_may_be_saved_all_the_while(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process(latency=0.5)
        node = await process.session.save(kind(name="n1"), ttl=TTL)
        async with process.session.keepalive(node, ttl=TTL) as lease:
            for number in range(200):
                node.port = number
                await process.session.save(node)
                await asyncio.sleep(0.3)
            assert (lease.valid, lease.lost.is_set()) == (True, False)
            assert node.etcd is not None
            assert node.etcd.ttl == pytest.approx(TTL, abs=TTL / 2)
        assert (await process.session.load(kind, "n1")).port == 199
        assert process.store.count("touch") < 20
        await asyncio.sleep(TTL + 1)
        assert await process.session.get(kind, "n1") is None  # it is left to its TTL

    run(scenario())


@KINDS
def test_a_record_that_can_not_be_kept_is_told_and_the_block_goes_on(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"), ttl=TTL)

        async def keep() -> None:
            async with process.session.keepalive(node, ttl=TTL) as lease:
                process.store.cut_off()
                await lease.lost.wait()
                assert (lease.valid, now() < TTL) == (False, True)
                process.store.reconnect()

        with pytest.raises(LeaseLapsedError, match="could not be kept alive until the end of its block"):
            await keep()

    run(scenario())


@KINDS
def test_a_record_that_was_deleted_is_lost_and_its_object_is_a_new_one(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"), ttl=TTL)

        async def keep() -> None:
            async with process.session.keepalive(node, ttl=TTL) as lease:
                wipe(process.etcd)
                await lease.lost.wait()
                assert node.etcd is None

        with pytest.raises(LeaseLapsedError, match="its TTL ran out"):
            await keep()
        await process.session.save(node, ttl=TTL)

    run(scenario())


@KINDS
def test_the_error_of_a_block_goes_before_the_loss_of_its_lease(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"), ttl=TTL)

        async def keep() -> None:
            async with process.session.keepalive(node, ttl=TTL) as lease:
                wipe(process.etcd)
                await lease.lost.wait()
                raise LookupError

        with pytest.raises(LookupError):
            await keep()

    run(scenario())


@KINDS
def test_a_ttl_that_is_taken_away_in_the_block_ends_the_keeping(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1"), ttl=TTL)
        async with process.session.keepalive(node, ttl=TTL) as lease:
            await process.session.save(node, ttl=None)
            await asyncio.sleep(10 * TTL)
            assert lease.valid
        assert await process.session.get(kind, "n1") == node

    run(scenario())


def test_what_can_not_be_kept_alive_is_refused() -> None:
    async def scenario() -> None:
        process = Process()
        with pytest.raises(UsageError, match="how long shall this Node live on"):
            process.session.keepalive(Node(name="n1"))
        with pytest.raises(UsageError, match="was never loaded or saved, so it can't be kept alive"):
            await process.session.keepalive(Node(name="n1"), ttl=TTL).__aenter__()
        node = await process.session.save(Node(name="n1"))
        with pytest.raises(UsageError, match="has no TTL"):
            await process.session.keepalive(node, ttl=TTL).__aenter__()
        leased = await process.session.save(Node(name="n2"), ttl=TTL)
        wipe(process.etcd)
        with pytest.raises(LeaseLapsedError):
            await process.session.keepalive(leased, ttl=TTL).__aenter__()
        assert len(asyncio.all_tasks()) == 1

    run(scenario())
