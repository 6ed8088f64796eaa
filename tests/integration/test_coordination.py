"""Locks, leases, registrations and elections on real etcd, while servers and processes are killed and stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from etcdorm import Held, Lease, Registration, Session
from etcdorm.session import LOCKS
from etcdorm.testing import EtcdBinary, EtcdCluster, EtcdServer
from etcdorm.v2 import Client
from tests.conftest import every_etcd
from tests.support.contending import Protected
from tests.support.models import Doc, Node, Service
from tests.support.raw import DEADLINE, leaves

SCRIPTS = Path(__file__).parents[1] / "support"

heavy = pytest.mark.xdist_group("heavy")


@asynccontextmanager
async def script(name: str, *arguments: str) -> AsyncIterator[Process]:
    """A program of tests/support in a process of its own, which doesn't outlive the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.support.{name}", *arguments, stdin=PIPE, stdout=PIPE, cwd=SCRIPTS.parents[1]
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 3 * DEADLINE)).decode().strip()


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(3 * DEADLINE):
        while not await reached():  # noqa: ASYNC110 - what it waits for happens in other processes
            await asyncio.sleep(0.02)


class Contention:
    """Tasks in several processes that contend for one lock, and the file that they work on when they have it."""

    def __init__(self, protected: Protected, processes: list[Process]) -> None:
        self.protected = protected
        self.processes = processes

    async def more(self, holders: int) -> None:
        """Wait until so many more have had the lock."""
        wanted = self.protected.read()["holders"] + holders

        async def reached() -> bool:
            return self.protected.read()["holders"] >= wanted

        await until(reached)

    async def stop(self) -> list[dict[str, int]]:
        """Let all come to their end; the errors that each of them has met."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        outputs = await asyncio.gather(*(process.communicate() for process in self.processes))
        assert [process.returncode for process in self.processes] == [0] * len(self.processes)
        return [json.loads(output) for output, _ in outputs]


@asynccontextmanager
async def contention(
    urls: list[str], path: Path, *, processes: int = 3, tasks: int = 17, ttl: int = 10
) -> AsyncIterator[Contention]:
    async with AsyncExitStack() as stack:
        programs = [script("contending", ",".join(urls), str(path), str(tasks), str(ttl)) for _ in range(processes)]
        running = await asyncio.gather(*(stack.enter_async_context(program) for program in programs))
        yield Contention(Protected(path), running)


async def check_nothing_is_left(urls: list[str]) -> None:
    async with Client(urls) as client:

        async def empty() -> bool:
            return not await leaves(client, str(LOCKS))

        await until(empty)


@pytest.fixture(params=every_etcd()[:1], ids=lambda binary: binary.version)
def etcd_binary(request: pytest.FixtureRequest) -> EtcdBinary:
    """One is enough: what could differ is told by the tests of the port."""
    binary: EtcdBinary = request.param
    return binary


@heavy
async def test_no_two_of_51_tasks_hold_a_lock_at_once_while_etcd_is_stopped_and_killed(
    etcd: EtcdServer, tmp_path: Path
) -> None:
    async with contention([etcd.url], tmp_path / "file") as contending:
        await contending.more(20)
        await asyncio.to_thread(etcd.pause)
        await asyncio.sleep(1)  # shorter than the TTL: nobody loses anything
        await asyncio.to_thread(etcd.resume)
        await contending.more(20)
        await asyncio.to_thread(etcd.kill)
        await asyncio.to_thread(etcd.restart)
        await contending.more(20)
        await contending.stop()
        assert contending.protected.read()["refused"] == 0
    await check_nothing_is_left([etcd.url])


async def test_no_two_of_51_tasks_hold_a_lock_at_once_while_leaders_are_stopped_and_killed(
    cluster: EtcdCluster, tmp_path: Path
) -> None:
    async with contention(cluster.urls, tmp_path / "file") as contending:
        await contending.more(20)
        killed = await asyncio.to_thread(cluster.leader)
        await asyncio.to_thread(killed.kill)
        await contending.more(20)
        await asyncio.to_thread(killed.restart)
        stopped = await asyncio.to_thread(cluster.leader)
        await asyncio.to_thread(stopped.pause)
        await contending.more(20)
        await asyncio.to_thread(stopped.resume)
        await contending.more(20)
        await contending.stop()
        assert contending.protected.read()["refused"] == 0
    await check_nothing_is_left(cluster.urls)


@heavy
async def test_processes_that_are_killed_and_stopped_in_a_lock_are_fenced_off(etcd: EtcdServer, tmp_path: Path) -> None:
    """Who is stopped in its block goes on in it when it wakes, for as long as it takes to be told: the file refuses."""
    async with contention([etcd.url], tmp_path / "file", ttl=3) as contending:
        await contending.more(15)
        killed, stopped, _ = contending.processes
        stopped.send_signal(signal.SIGSTOP)
        killed.kill()
        await contending.more(15)
        stopped.send_signal(signal.SIGCONT)
        await contending.more(15)
        contending.processes.remove(killed)
        await contending.stop()
    await check_nothing_is_left([etcd.url])


async def test_a_holder_that_was_frozen_past_its_ttl_finds_its_saves_refused(
    etcd: EtcdServer, session: Session
) -> None:
    node = await session.save(Node(name="n1"))
    async with script("freezing", etcd.url) as process:
        assert await line_of(process) == "held"
        process.send_signal(signal.SIGSTOP)
        async with session.lock((Node, "n1"), ttl=60):
            node = await session.load(Node, "n1")
            node.port = 7
            await session.save(node)
            process.send_signal(signal.SIGCONT)
            assert process.stdin is not None
            process.stdin.write(b"\n")
            seen = [await line_of(process) for _ in range(5)]
    assert seen == [
        "save LockLostError",
        "save of what was loaded anew LockLostError",
        "late request FencedRecord",
        "block LockLostError",
        "save after the block ConflictError",
    ]
    assert (await session.load(Node, "n1")).port == 7


# -- what is kept alive ---------------------------------------------------------------------------------------------


async def test_an_etcd_that_is_restarted_under_leases_costs_nobody_anything(etcd: EtcdServer, session: Session) -> None:
    nodes = [await session.save(kind(name="kept"), ttl=3) for kind in (Node, Doc)]
    async with AsyncExitStack() as stack:
        kept: list[Lease | Registration[Node] | Held] = []
        for node in nodes:
            kept.append(await stack.enter_async_context(session.keepalive(node, ttl=3)))
        registered = await stack.enter_async_context(session.register(Node(name="registered"), ttl=3))
        kept += [registered, await stack.enter_async_context(session.lock("job", ttl=3))]
        await asyncio.to_thread(etcd.kill)
        now = asyncio.get_running_loop().time
        lost_at = now() + max(each.left for each in kept)  # but for what is renewed after the restart
        await asyncio.to_thread(etcd.restart)

        async def over() -> bool:
            return now() > lost_at

        await until(over)
        assert [each.valid for each in kept] == [True] * 4
        assert registered.renewals == 0


async def test_a_registration_that_was_deleted_is_made_anew(
    etcd: EtcdServer, session: Session, client: Client, kind: type[Service]
) -> None:
    renewed = asyncio.Event()

    def on_change(registration: Registration[Service]) -> None:
        if registration.renewals:
            renewed.set()

    node = kind(name="n1", port=7)
    async with session.register(node, ttl=1, on_change=on_change):
        await client.delete(kind.key("n1"), recursive=True)
        await asyncio.wait_for(renewed.wait(), DEADLINE)
        assert (await session.load(kind, "n1")).port == 7
        node.port = 8
        await session.save(node)
        assert (await session.load(kind, "n1")).port == 8
    assert await leaves(client, kind.key("n1")) == {}


async def test_an_election_on_real_etcd(session: Session, other: Session, kind: type[Service]) -> None:
    """Two candidates with the same key: the second one waits, and leads when the first one has resigned."""
    elected = asyncio.Event()

    async def stand() -> None:
        async with other.campaign(kind(name="web", host="second"), ttl=60):
            elected.set()
            await asyncio.Event().wait()

    async with session.watch(kind) as changes:
        async with session.campaign(kind(name="web", host="first"), ttl=60) as leadership:
            standing = asyncio.create_task(stand())
            leader = await other.leader(kind, "web")
            assert leader is not None
            assert leader.host == "first"
            leadership.model.port = 1
            await session.save(leadership.model)
            assert not elected.is_set()
        await asyncio.wait_for(elected.wait(), DEADLINE)
        leader = await session.leader(kind, "web")
        assert leader is not None
        assert leader.host == "second"
        standing.cancel()
        await asyncio.wait([standing])
        assert await session.leader(kind, "web") is None
        seen = [await asyncio.wait_for(anext(changes), DEADLINE) for _ in range(5)]
    assert [type(change).__name__ for change in seen] == ["Created", "Updated", "Deleted", "Created", "Deleted"]


async def test_refreshes_that_use_up_etcds_history_cost_no_watcher_and_no_waiter_anything(
    etcd: EtcdServer, session: Session, other: Session, client: Client
) -> None:
    """Each refresh uses up one of the 1,000 events that etcd remembers, and wakes nobody."""
    async with AsyncExitStack() as stack:
        changes = await stack.enter_async_context(other.watch(Node))
        holding = await stack.enter_async_context(AsyncExitStack())
        await holding.enter_async_context(session.lock("job", ttl=60))
        waiting = asyncio.create_task(other.lock("job", ttl=60).__aenter__())
        leases = []
        for number in range(100):
            doc = await session.save(Doc(name=f"d{number}"), ttl=5)
            leases.append(await stack.enter_async_context(session.keepalive(doc, ttl=5)))
        now = asyncio.get_running_loop().time
        lost_at = now() + max(lease.left for lease in leases)  # but for what is renewed from now on
        key = (await client.write("/another", "x", ttl=60)).key
        for _ in range(11):
            await asyncio.gather(*(client.refresh(key, 60) for _ in range(100)))

        async def over() -> bool:
            return now() > lost_at

        await until(over)
        assert sum(lease.valid for lease in leases) == 100
        assert not waiting.done()
        await holding.aclose()
        await asyncio.wait_for(waiting, DEADLINE)
        await session.save(Node(name="n1"))
        change = await asyncio.wait_for(anext(changes), DEADLINE)
        assert (change.path, change.gap) == ("/nodes/n1", False)
