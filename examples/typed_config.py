"""Typed configuration: nested models, enums, lists and maps, each field where any tool can read and edit it.

usage: python examples/typed_config.py [ENDPOINT]      without one, an etcd is started that ends with the program
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import Enum

from pydantic import BaseModel, Field

from etcdorm import DecodeError, EtcdModel, Session, connect
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client


class Level(Enum):
    DEBUG = "debug"
    INFO = "info"
    ERROR = "error"


class Pool(BaseModel):
    size: int = Field(default=10, ge=1)
    patience: timedelta = timedelta(seconds=5)


class Database(BaseModel):
    host: str
    port: int = 5432
    pool: Pool = Pool()


class Config(EtcdModel, path="/config/{app}"):
    app: str
    level: Level = Level.INFO
    database: Database  # a sub-directory, with another one for its pool
    origins: list[str] = []  # JSON in one key
    features: dict[str, bool] = {}  # a sub-directory with one key per feature
    reloads: int = 0


async def show(client: Client) -> None:
    result = await client.read("/config/web", recursive=True, sorted=True)
    for leaf in result.leaves:
        if "/@" not in leaf.key:  # etcdorm's own keys
            print(f"  {leaf.key:<34} {leaf.value}")


async def save(session: Session, client: Client) -> None:
    if old := await session.get(Config, "web"):
        await session.delete(old)  # from a run that was stopped
    config = Config(app="web", database=Database(host="db.internal"), origins=["https://a", "https://b"])
    config.features["search"] = True
    await session.save(config)
    print("saved:")
    await show(client)


async def good_edit(session: Session, client: Client) -> None:
    await client.write("/config/web/level", "debug")  # what `etcdctl set /config/web/level debug` does
    await client.write("/config/web/database/pool/size", "25")
    config = await session.load(Config, "web")
    print(f"edited by another tool: {config.level!r}, {config.database.pool!r}")


async def bad_edit(session: Session, client: Client) -> None:
    await client.write("/config/web/database/port", "many")
    await client.write("/config/web/features/search", "perhaps")
    try:
        await session.load(Config, "web")
    except DecodeError as error:
        print(f"edited badly: {error}")
        print("  as data:", [(failure.key, failure.field) for failure in error.failures])
    await client.write("/config/web/database/port", "5432")
    await client.write("/config/web/features/search", "true")


async def many_writers(session: Session) -> None:
    """All of them change the same field at the same time, and none of the changes is lost."""

    def count(config: Config) -> None:
        config.reloads += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(session.update(Config, "web", count))
    print("reloads after 5 concurrent updates:", (await session.load(Config, "web")).reloads)


@asynccontextmanager
async def url_of(endpoint: str) -> AsyncIterator[str]:
    """The endpoint's URL; with "embedded:", that of an etcd which is started."""
    if endpoint != "embedded:":
        yield endpoint
        return
    async with EtcdServer() as server:
        yield server.url


async def main(endpoint: str) -> None:
    async with url_of(endpoint) as url, connect(url) as session, Client(url) as client:
        await save(session, client)
        await good_edit(session, client)
        await bad_edit(session, client)
        await many_writers(session)
        await session.delete(await session.load(Config, "web"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "embedded:"))
