"""Registrations: there from the beginning of a block to its end, whatever happens meanwhile. In virtual time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from etcdorm import AlreadyExistsError, ConflictError, Registration, UsageError
from tests.support.cancelling import Cancelled, cancel_everywhere
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import How
from tests.support.sessions import Doc, Kind, Node, Process, now, until, wipe
from tests.support.virtual import run

KINDS = pytest.mark.parametrize("kind", [Node, Doc], ids=["directory", "document"])
TTL = 10


async def port_of(etcd: MemoryEtcd, kind: Kind) -> int | None:
    """What the record of ``n1`` says, if there is one."""
    node = await Process(etcd).session.get(kind, "n1")
    return None if node is None else node.port


@KINDS
def test_a_record_is_there_from_the_beginning_of_the_block_to_its_end(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = kind(name="n1", port=1)
        async with process.session.register(node, ttl=TTL) as registration:
            assert await port_of(process.etcd, kind) == 1
            await asyncio.sleep(100 * TTL)
            assert (registration.valid, registration.state, registration.renewals) == (True, "registered", 0)
            assert 0 < registration.left < TTL
            node.port = 2
            await process.session.save(node)
            assert await port_of(process.etcd, kind) == 2
        assert await port_of(process.etcd, kind) is None
        assert node.etcd is None
        async with process.session.register(node, ttl=TTL):  # and once more
            assert await port_of(process.etcd, kind) == 2

    run(scenario())


@KINDS
def test_a_record_is_deleted_on_every_way_out(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()

        async def serve(error: BaseException | None = None) -> None:
            async with process.session.register(kind(name="n1"), ttl=TTL):
                if error is not None:
                    raise error
                await asyncio.Event().wait()

        with pytest.raises(LookupError):
            await serve(LookupError())
        assert await port_of(process.etcd, kind) is None
        task = asyncio.create_task(serve())
        await asyncio.sleep(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await port_of(process.etcd, kind) is None

    run(scenario())


@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_wherever_it_is_cancelled_nothing_is_left(again: bool) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        process = Process()

        async def serve() -> None:
            async with process.session.register(Node(name="n1"), ttl=TTL):
                await asyncio.sleep(0)

        await cancelled(serve())
        assert process.etcd._entries == {}

    assert cancel_everywhere(scenario, again=again) > 4


@KINDS
def test_others_may_change_a_registration_and_it_is_deleted_all_the_same(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        async with process.session.register(kind(name="n1"), ttl=TTL):
            await Process(process.etcd).session.update(kind, "n1", lambda node: setattr(node, "note", "drained"))
            await asyncio.sleep(5 * TTL)
        assert await port_of(process.etcd, kind) is None

    run(scenario())


# -- a record that vanishes -----------------------------------------------------------------------------------------


class Told(list[tuple[float, str, int]]):
    """What ``on_change`` is told: when, the state, and how many renewals there were."""

    def __call__(self, registration: Registration[Any]) -> None:  # Any: of either kind
        self.append((round(now(), 1), registration.state, registration.renewals))

    @property
    def states(self) -> list[str]:
        return [state for _, state, _ in self]


@KINDS
def test_a_record_that_vanished_is_made_anew_and_that_is_told(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        process, told = Process(), Told()
        node = kind(name="n1", port=1)
        async with process.session.register(node, ttl=TTL, on_change=told) as registration:
            node.port = 2  # not saved, and written with all the rest
            wipe(process.etcd)
            await until(lambda: registration.renewals)
            assert (await port_of(process.etcd, kind), registration.valid, registration.state) == (
                2,
                True,
                "registered",
            )
            assert [(state, renewals) for _, state, renewals in told] == [("lost", 0), ("registered", 1)]
            assert now() < TTL / 2
            await asyncio.sleep(10 * TTL)
            node.port = 3
            await process.session.save(node)
        assert await port_of(process.etcd, kind) is None
        assert len(told) == 2

    run(scenario())
    assert "had vanished, and was registered anew" in caplog.text


@KINDS
def test_a_process_that_stood_still_for_longer_than_the_ttl_registers_anew(kind: Kind) -> None:
    async def scenario() -> None:
        process, told = Process(), Told()
        async with process.session.register(kind(name="n1"), ttl=TTL, on_change=told) as registration:
            await process.frozen(3 * TTL)
            assert await port_of(process.etcd, kind) is None
            assert not registration.valid
            await asyncio.sleep(TTL)
            assert await port_of(process.etcd, kind) == 0
        assert told.states == ["lost", "registered"]

    run(scenario())


@KINDS
def test_a_record_that_outlived_the_silence_is_not_made_anew(kind: Kind) -> None:
    async def scenario() -> None:
        process, told = Process(), Told()
        async with process.session.register(kind(name="n1"), ttl=TTL, on_change=told) as registration:
            last = max(at for at, _, _ in process.store.sent)
            await process.frozen(last + TTL * 0.95 - now())  # too late to rely on it, and too early for etcd
            await asyncio.sleep(TTL)
            assert (registration.renewals, registration.valid) == (0, True)
        assert told.states == ["lost", "registered"]

    run(scenario())


@KINDS
def test_somebody_who_took_the_place_meanwhile_is_not_overwritten(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        process, told = Process(), Told()
        rival = Process(process.etcd)
        async with process.session.register(kind(name="n1", port=1), ttl=TTL, on_change=told) as registration:
            wipe(process.etcd)
            theirs = await rival.session.save(kind(name="n1", port=2))
            await until(lambda: registration.state == "taken")
            await asyncio.sleep(5 * TTL)
            assert await port_of(process.etcd, kind) == 2
            await rival.session.delete(theirs)
            await asyncio.sleep(5)
            assert (registration.state, await port_of(process.etcd, kind)) == ("registered", 1)
            wipe(process.etcd)
            await rival.session.save(kind(name="n1", port=2))
            await asyncio.sleep(TTL)
        assert told.states == ["lost", "taken", "registered", "lost", "taken"]
        assert await port_of(process.etcd, kind) == 2  # nor is it deleted at the end

    run(scenario())
    assert "somebody else has taken its place" in caplog.text


@KINDS
@pytest.mark.parametrize("how", ["lost", "dropped", "unavailable"])
def test_registering_anew_goes_on_over_failures_and_knows_its_own_record(kind: Kind, how: How) -> None:
    async def scenario() -> None:
        process, told = Process(), Told()
        async with process.session.register(kind(name="n1"), ttl=TTL, on_change=told) as registration:
            process.store.fail("create", how, times=2)
            wipe(process.etcd)
            await asyncio.sleep(2 * TTL)
            assert registration.valid
            assert process.store.count("create") > 1
        assert told.states == ["lost", "registered"]
        assert await port_of(process.etcd, kind) is None

    run(scenario())


@KINDS
def test_a_save_of_the_blocks_own_that_made_the_record_anew_is_taken_over(kind: Kind) -> None:
    async def scenario() -> None:
        process, told = Process(), Told()
        node = kind(name="n1")
        async with process.session.register(node, ttl=TTL, on_change=told) as registration:
            wipe(process.etcd)
            process.store.fail("touch", "slow", seconds=4)
            await until(lambda: process.store.count("touch"))
            node.port = 1
            with suppress(ConflictError, Exception):
                await process.session.save(node)
            await process.session.save(node, ttl=TTL)
            await asyncio.sleep(5 * TTL)
            assert (registration.valid, registration.renewals) == (True, 0)
        assert await port_of(process.etcd, kind) is None

    run(scenario())


def test_an_error_of_on_change_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        process = Process()

        def fail(registration: Registration[Node]) -> None:
            raise LookupError

        async with process.session.register(Node(name="n1"), ttl=TTL, on_change=fail) as registration:
            wipe(process.etcd)
            await asyncio.sleep(TTL)
            assert registration.valid

    run(scenario())
    assert "on_change failed" in caplog.text


def test_leaving_while_it_is_being_registered_anew_leaves_nothing() -> None:
    async def scenario() -> None:
        process = Process()
        async with process.session.register(Node(name="n1"), ttl=TTL) as registration:
            process.store.fail("create", "slow", seconds=4)
            wipe(process.etcd)
            await until(lambda: registration.state == "lost")
            await asyncio.sleep(3)
        assert await port_of(process.etcd, Node) is None
        assert len(asyncio.all_tasks()) == 1

    run(scenario())


# -- a record that is there already ---------------------------------------------------------------------------------


@KINDS
def test_the_record_of_a_former_life_is_waited_for(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        await process.session.save(kind(name="n1", port=1), ttl=TTL)
        await asyncio.sleep(4)
        async with process.session.register(kind(name="n1", port=2), ttl=TTL):
            assert now() == TTL
            assert await port_of(process.etcd, kind) == 2

    run(scenario())


@KINDS
def test_a_record_that_somebody_keeps_alive_is_told(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        async with process.session.register(kind(name="n1", port=1), ttl=TTL):
            with pytest.raises(AlreadyExistsError, match="somebody keeps it alive"):
                async with Process(process.etcd).session.register(kind(name="n1", port=2), ttl=TTL):
                    pass
            assert now() <= TTL + 2
            assert await port_of(process.etcd, kind) == 1

    run(scenario())


@KINDS
def test_a_record_without_a_ttl_is_not_waited_for(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        await process.session.save(kind(name="n1", port=1))
        for on_exists, why in (("wait", "without a TTL"), ("raise", "there is a record already")):
            with pytest.raises(AlreadyExistsError, match=why):
                async with process.session.register(kind(name="n1"), on_exists=on_exists):  # type: ignore[arg-type]
                    pass
        assert (now(), await port_of(process.etcd, kind)) == (0, 1)

    run(scenario())


@KINDS
def test_an_object_whose_record_is_there_is_left_as_it_is(kind: Kind) -> None:
    async def scenario() -> None:
        process = Process()
        node = await process.session.save(kind(name="n1", port=1))
        with pytest.raises(AlreadyExistsError):
            async with process.session.register(node, ttl=TTL):
                pass
        node.port = 2
        await process.session.save(node)
        assert await port_of(process.etcd, kind) == 2

    run(scenario())


@KINDS
def test_a_record_may_be_replaced_and_who_kept_it_is_told(kind: Kind) -> None:
    async def scenario() -> None:
        process, told = Process(), Told()
        async with process.session.register(kind(name="n1", port=1), ttl=TTL, on_change=told):
            other = Process(process.etcd).session.register(kind(name="n1", port=2), ttl=TTL, on_exists="replace")
            async with other as registration:
                await asyncio.sleep(5 * TTL)
                assert (told.states, registration.renewals) == (["lost", "taken"], 0)
                assert await port_of(process.etcd, kind) == 2
            await asyncio.sleep(5)
            assert (told.states[-1], await port_of(process.etcd, kind)) == ("registered", 1)

    run(scenario())


def test_a_ttl_may_come_from_the_class_or_is_ten_seconds() -> None:
    class Brief(Node, path="/brief/{name}", ttl=3):
        pass

    async def scenario() -> None:
        process = Process()
        async with (
            process.session.register(Brief(name="n1")) as brief,
            process.session.register(Node(name="n1")) as node,
            process.session.register(Brief(name="n2"), ttl=60) as long,
        ):
            assert (brief.ttl, node.ttl, long.ttl) == (3, 10, 60)
        with pytest.raises(UsageError, match="on_exists must be one of"):
            process.session.register(Node(name="n1"), on_exists="merge")  # type: ignore[arg-type]  # no such thing

    run(scenario())


def test_many_registrations_share_one_schedule() -> None:
    async def scenario() -> None:
        process = Process()
        registering = [process.session.register(Node(name=f"n{number}"), ttl=TTL) for number in range(100)]
        await asyncio.gather(*(each.__aenter__() for each in registering))
        await asyncio.sleep(TTL)
        assert len(asyncio.all_tasks()) < 5
        assert process.store.count("touch") > 100
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in registering))
        assert process.etcd._entries == {}

    run(scenario())
