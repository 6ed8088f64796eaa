"""This project's client, as its users write it."""

from __future__ import annotations

from collections.abc import Callable

from etcdorm.v2 import Client


class Etcdorm:
    async def open(self, host: str, port: int) -> None:
        self.client = Client(host, port)

    async def close(self) -> None:
        await self.client.close()

    async def read(self, key: str) -> str:
        return (await self.client.read(key)).value or ""

    async def write(self, key: str, value: str) -> int:
        return (await self.client.write(key, value)).modifiedIndex

    async def swap(self, key: str, value: str, index: int) -> int:
        return (await self.client.write(key, value, prevIndex=index)).modifiedIndex


class Streamed(Etcdorm):
    async def follow(self, key: str, events: int, began: Callable[[], None]) -> None:
        async with self.client.eternal_watch(key) as watch:
            began()
            async for event in watch:
                assert event.value
                events -= 1
                if not events:
                    return


class Polled(Etcdorm):
    async def follow(self, key: str, events: int, began: Callable[[], None]) -> None:
        now = (await self.client.read(key, quorum=True)).etcd_index
        began()
        async for event in self.client.eternal_watch(key, now + 1):
            assert event.value
            events -= 1
            if not events:
                return
