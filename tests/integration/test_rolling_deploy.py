"""Old and new code work on the same records at the same time, as they do while a service is being deployed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from etcdorm import NewerVersionError, connect
from etcdorm.mapping.schema import Layout
from etcdorm.testing import EtcdServer
from tests.support.generations import New, Old

NAMES = [f"n{number}" for number in range(4)]


def count(node: Old | New) -> None:
    node.count += 1


class Fleet:
    """Workers, each with a session of its own, that count records up; ``done`` has how often it was confirmed."""

    def __init__(self, etcd: EtcdServer, layout: Layout) -> None:
        self.etcd = etcd
        self.layout: Layout = layout
        self.done: Counter[str] = Counter()
        self.warm = asyncio.Event()
        self.upgraded: set[str] = set()
        """What new code is about to save, or has saved."""
        self.refused: list[tuple[str, int, bool]] = []
        """Each path that old code was refused, its version, and whether it was in ``upgraded``."""

    async def old(self) -> None:
        """Works until it is refused everywhere."""
        left = list(NAMES)
        async with connect(self.etcd.url, layout=self.layout) as session:
            while left:
                for name in list(left):
                    try:
                        await session.update(Old, name, count)
                    except NewerVersionError as error:
                        self.refused.append((error.path, error.found, name in self.upgraded))
                        left.remove(name)
                    else:
                        self.done[name] += 1
                        if self.done.total() > 20:
                            self.warm.set()

    async def new(self, names: list[str]) -> None:
        await self.warm.wait()
        async with connect(self.etcd.url, layout=self.layout) as session:
            for name in names * 5:
                self.upgraded.add(name)  # before its answer is here, the old ones may have met it
                await session.update(New, name, count)
                self.done[name] += 1

    async def migrate(self) -> None:
        self.upgraded.update(NAMES)
        async with connect(self.etcd.url, layout=self.layout) as session:
            (await session.migrate(New)).raise_for_errors()


@pytest.mark.parametrize("layout", ["directory", "document"])
async def test_nothing_is_lost_and_old_code_is_refused_only_what_new_code_has_saved(
    etcd: EtcdServer, layout: Layout
) -> None:
    fleet = Fleet(etcd, layout)
    async with connect(etcd.url, layout=layout) as session, asyncio.timeout(60), asyncio.TaskGroup() as group:
        await session.save_all([Old(name=name, address="a:1") for name in NAMES])
        for _ in range(3):
            group.create_task(fleet.old())
        async with asyncio.TaskGroup() as deployed:
            for names in (NAMES[:2], NAMES[:1]):
                deployed.create_task(fleet.new(names))
        await fleet.migrate()
    async with connect(etcd.url, layout=layout) as session:
        found = await session.list(New)
        assert {node.name: node.count for node in found} == fleet.done
        assert {(node.host, node.port) for node in found} == {("a", 1)}
    assert sorted(fleet.refused) == sorted((f"/nodes/{name}", 2, True) for name in NAMES * 3)


class Wide(Old, path="/nodes/{name}"):
    """The next generation of Old, with more fields, each with a default: that takes no new version."""

    note: str = ""
    seen: int = 0
    tags: dict[str, str] = {}


@pytest.mark.parametrize("layout", ["directory", "document"])
async def test_with_additional_fields_nobody_is_refused_and_nothing_is_lost(etcd: EtcdServer, layout: Layout) -> None:
    def widen(node: Wide) -> None:
        node.seen += 1
        node.tags[f"t{node.seen}"] = node.note = str(node.seen)

    async def work(model: type[Old] | type[Wide], change: Callable[..., None]) -> None:
        async with connect(etcd.url, layout=layout) as session:
            for _ in range(8):
                await session.update(model, "n1", change)

    async with connect(etcd.url, layout=layout) as session:
        await session.save(Old(name="n1"))
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(work(Old, count))
                group.create_task(work(Wide, widen))
        tags = {f"t{number}": str(number) for number in range(1, 17)}
        assert await session.load(Wide, "n1") == Wide(name="n1", count=16, note="16", seen=16, tags=tags)
        assert await session.load(Old, "n1") == Old(name="n1", count=16)
