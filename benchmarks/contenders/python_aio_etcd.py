"""python-aio-etcd, called aio-etcd on PyPI; it stands on python-etcd.

It is from 2018 and runs on today's Python and aiohttp as it is, so nothing of it is patched. Only its ``close`` needs
help: it hands the closing to the loop and does not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aio_etcd


class PythonAioEtcd:
    async def open(self, host: str, port: int) -> None:
        self.client = aio_etcd.Client(host, port)

    async def close(self) -> None:
        session = self.client._client
        self.client.close()
        while not session.closed:  # noqa: ASYNC110 - it is closed by a task of its own, that nobody else can wait for
            await asyncio.sleep(0)

    async def read(self, key: str) -> str:
        value: str = (await self.client.read(key)).value
        return value

    async def write(self, key: str, value: str) -> int:
        index: int = (await self.client.write(key, value)).modifiedIndex
        return index

    async def swap(self, key: str, value: str, index: int) -> int:
        new: int = (await self.client.write(key, value, prevIndex=index)).modifiedIndex
        return new


class Watch(PythonAioEtcd):
    async def follow(self, key: str, events: int, began: Callable[[], None]) -> None:
        index = (await self.client.read(key, quorum=True)).etcd_index
        began()

        def take(event: aio_etcd.EtcdResult) -> None:
            nonlocal events
            assert event.value
            events -= 1
            if not events:
                raise aio_etcd.StopWatching

        await self.client.eternal_watch(key, take, index=index + 1)
