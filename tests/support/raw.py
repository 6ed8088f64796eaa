"""What etcd holds, seen and changed past the session, as another tool would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TypeVar

from etcdorm.v2 import Client, EtcdKeyNotFound, EtcdResult

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds. Long enough for a machine that is busy; nothing here waits for that long when all is well."""

TRIES = 1.0
"""Seconds for a call that fails again and again, the first time well before they are over."""


async def leaves(client: Client, key: str) -> dict[str, EtcdResult]:
    """All keys below ``key`` by relative name, bookkeeping included; empty when there is nothing."""
    try:
        result = await client.read(key, recursive=True, quorum=True)
    except EtcdKeyNotFound:
        return {}
    return {leaf.key.removeprefix(key).removeprefix("/"): leaf for leaf in result.leaves}


async def texts(client: Client, key: str) -> dict[str, str | None]:
    """The data keys below ``key``, without etcdorm's bookkeeping."""
    return {name: leaf.value for name, leaf in (await leaves(client, key)).items() if not name.startswith("@")}


async def indexes(client: Client, key: str) -> dict[str, int]:
    return {name: leaf.modifiedIndex for name, leaf in (await leaves(client, key)).items()}


async def expire(client: Client, key: str) -> None:
    """Let a key with a TTL expire, as it would by itself, only sooner; return when it is gone."""
    result = await client.refresh(key, ttl=0)
    await until_gone(client, key, since=result.modifiedIndex)


async def until_gone(client: Client, key: str, *, since: int | None = None) -> None:
    """Wait until a key, or a directory with all that is in it, does not exist any more."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            result = await client.read(key, quorum=True)
        except EtcdKeyNotFound:
            return
        index = (since if since is not None else result.etcd_index) + 1
        event = await client.read(
            key, wait=True, recursive=True, waitIndex=index, timeout=max(0.1, deadline - time.monotonic())
        )
        since = event.modifiedIndex


async def until_watchers(client: Client, count: int) -> None:
    """Wait until so many watchers are registered with an etcd of one member."""
    async with asyncio.timeout(DEADLINE):
        while (await client.store_stats())["watchers"] != count:
            pass


async def soon(iterator: AsyncIterator[T]) -> T:
    """The next item, which must come before the deadline."""
    return await asyncio.wait_for(anext(iterator), DEADLINE)


async def flush_history(client: Client) -> None:
    """Make more events than etcd's history holds, all of them elsewhere."""
    for _ in range(11):
        await asyncio.gather(*(client.write(f"/foreign/{number}", "x") for number in range(100)))
