"""Drives the protocol's generators over a client: sends what they ask for, within one deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from etcdorm.errors import EtcdormError
from etcdorm.path import Path
from etcdorm.v2 import request as requests
from etcdorm.v2.client import Client
from etcdorm.v2.errors import (
    EtcdKeyNotFound,
    EtcdMisconfigured,
    EtcdNotDir,
    EtcdProtocolError,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnconfirmed,
)
from etcdorm.v2.protocol.snapshot import Snapshot
from etcdorm.v2.protocol.steps import (
    Append,
    Done,
    Drop,
    DropDirectory,
    Happened,
    Look,
    Lost,
    Outcome,
    Pause,
    Recall,
    Refresh,
    Refused,
    Request,
    Reserve,
    Seen,
    Steps,
    Swap,
    T,
    Write,
)

_SHORT = 0.05
"""Seconds that are not worth another try."""

_AT_ONCE = 32
"""How many requests of one step are under way at the same time."""


async def drive(client: Client, steps: Steps[T], *, timeout: float) -> T:
    """Run a generator of the protocol to its end.

    Units: ``timeout`` in seconds, over all of its steps.
    Cancel: what was sent may have happened; the protocol leaves nothing half done to be seen.
    Raises: what the generator raises.
    """
    deadline = time.monotonic() + timeout
    try:
        batch = next(steps)
        while True:
            try:
                if len(batch) == 1:
                    outcomes: list[Outcome] = [await _perform(client, batch[0], deadline)]
                else:
                    outcomes = await _perform_all(client, batch, deadline)
            except EtcdormError as error:
                batch = steps.throw(error)
            else:
                batch = steps.send(outcomes)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        steps.close()


async def _perform_all(client: Client, batch: Sequence[Request], deadline: float) -> list[Outcome]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def perform(request: Request) -> Outcome:
        async with gate:
            try:
                return await _perform(client, request, deadline)
            except EtcdormError as error:
                return Lost(error)  # one of several: the next look tells which of them are done

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(perform(request)) for request in batch]
    return [task.result() for task in tasks]


async def _perform(client: Client, request: Request, deadline: float) -> Outcome:
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            where = "" if isinstance(request, Pause) else f"{request.path}: "
            raise EtcdUnavailable(f"{where}the call's time was up before all of it was done")
        try:
            match request:
                case Look(path):
                    return Seen(await snapshot_of(client, path, timeout=left))
                case Recall(path, index):
                    return await _first_event(client, path, index, left)
                case Pause(seconds):
                    await asyncio.sleep(min(seconds, left))
                    return Done(0)
            # Never all of the time for one write: if its answer is lost, there must be time to look what became of it.
            # And never settled by the client: that is the protocol's, which was explored without anybody's help.
            share = max(left / 2, min(left, 1.0))
            result = await client._call(_as_asked(client.key_endpoint, request), share)
            # Of a write, that is its modifiedIndex (docs/etcd-facts.md), and without a value the answer has no other.
            if not result.etcd_index:
                return Lost(EtcdUnconfirmed(f"{request.path}: written, and the answer does not say at which index"))
            return Done(result.etcd_index, Path.parse(result.key) if isinstance(request, Append) else None)
        except EtcdUnconfirmed as error:
            return Lost(error)
        except (EtcdRefused, EtcdProtocolError) as error:
            return Refused(error.code, error)
        except EtcdUnavailable as error:
            # Never sent, after a share of the time; the rest is for trying on.
            if isinstance(error, EtcdMisconfigured) or deadline - time.monotonic() < 2 * _SHORT:
                raise
            await asyncio.sleep(_SHORT)  # it may have come at once, where DNS said no


def _as_asked(prefix: str, request: Write) -> requests.Request:
    """A write of the protocol as the client sends it; the answer need not repeat what is written, and was before."""
    match request:
        case Swap(path, value, index, ttl):
            return requests.write(prefix, path, value, ttl=ttl, prevIndex=index, noValueOnSuccess=True)
        case Reserve(path, value, ttl):
            return requests.write(prefix, path, value, ttl=ttl, prevExist=False, noValueOnSuccess=True)
        case Append(path, value, ttl):
            return requests.write(prefix, path, value, ttl=ttl, append=True)
        case Refresh(path, ttl, index):
            return requests.write(prefix, path, None, ttl=ttl, prevIndex=index, refresh=True, noValueOnSuccess=True)
        case Drop(path, index):
            return requests.delete(prefix, path, prevIndex=index)
        case DropDirectory(path):
            return requests.delete(prefix, path, dir=True)


async def snapshot_of(client: Client, path: Path, *, quorum: bool = True, timeout: float | None = None) -> Snapshot:
    """One consistent moment of everything below ``path``; empty when there is nothing."""
    try:
        result = await client.read(str(path), recursive=True, quorum=quorum, timeout=timeout)
    except (EtcdKeyNotFound, EtcdNotDir):
        return Snapshot(path)
    return Snapshot.of_node(path, result.node)


async def _first_event(client: Client, path: Path, index: int, timeout: float) -> Happened:
    """What moved a key on from an index; a member that has not come so far yet is waited for.

    Raises: EtcdWatchTimedOut; EtcdEventIndexCleared.
    """
    deadline = time.monotonic() + timeout
    after = index
    while True:
        left = max(0.0, deadline - time.monotonic())
        event = await client.read(str(path), wait=True, waitIndex=after + 1, timeout=left)
        after = event.modifiedIndex
        # From its history etcd also tells of keys whose name only begins like this one's.
        if Path.parse(event.key).contains(path):
            before = event.prev_node
            return Happened(event.value, 0 if before is None else before.modifiedIndex, after)
