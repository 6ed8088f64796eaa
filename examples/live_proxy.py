"""A proxy's view of a cluster: its own configuration, always current and valid, and all backends in a table.

usage: python examples/live_proxy.py [ENDPOINT]      without one, an etcd is started that ends with the program

It starts while etcd is away, too, when it has run before: with the last good configuration, out of a file.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import Field

from etcdorm import EtcdModel, Live, Session, Table, connect
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client


class Config(EtcdModel, path="/proxies/{name}/config"):
    name: str
    timeout: float = Field(default=5.0, gt=0)
    attempts: int = 2


class Backend(EtcdModel, path="/backends/{name}"):
    name: str
    host: str
    weight: int = 1


class Proxy:
    """Sends each request to the next backend, as often as its weight says."""

    def __init__(self, config: Live[Config], backends: Table[Backend]) -> None:
        self.config = config
        self.backends = backends
        self.turns: list[str] = []
        config.on_change(self.retune, fields=("timeout", "attempts"))
        backends.on_change(self.deal, debounce=0.05)  # once for all that come and go together
        self.deal(frozenset(backends))

    def retune(self, old: Config | None, new: Config | None) -> None:
        if old is not None and new is not None:
            print(f"timeout {old.timeout} -> {new.timeout}, attempts {old.attempts} -> {new.attempts}")

    def deal(self, changed: frozenset[object]) -> None:
        self.turns = [each.host for each in self.backends.values() for _ in range(each.weight)]
        print("backends:", sorted(self.turns))


async def run(session: Session, client: Client, file: Path) -> None:
    default = Config(name="web")
    async with (
        session.live(Config, "web", default=default, last_good=file) as config,
        session.table(Backend) as backends,
    ):
        proxy = Proxy(config, backends)
        await session.save_all(Backend(name=f"b{number}", host=f"10.0.0.{number}") for number in (1, 2))
        await backends.until(lambda: len(proxy.turns) == 2)

        heavy = await session.update(Backend, "b1", lambda backend: setattr(backend, "weight", 3))
        await backends.reach(heavy)
        await backends.until(lambda: len(proxy.turns) == 4)

        await config.reach(await session.save(Config(name="web", timeout=2.5)))
        await client.write("/proxies/web/config/timeout", "-1")  # an edit by hand, and a mistake
        await config.until(lambda: config.error is not None)
        print(f"timeout is still {config.value.timeout}:", str(config.error).splitlines()[1].strip())


async def main(endpoint: str | None, file: Path) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EtcdServer()) if endpoint is None else None
        url = endpoint or (server.url if server else "")
        client = await stack.enter_async_context(Client(url))
        async with connect(url) as session:
            await run(session, client, file)
            for path in ("/proxies", "/backends"):
                await client.delete(path, recursive=True)
        if server is not None:
            await asyncio.to_thread(server.kill)
            print("etcd is away, and the proxy starts again:")
            async with (
                connect(url) as session,
                session.live(Config, "web", last_good=file, patience=0.2) as config,
            ):
                print(f"timeout {config.value.timeout}, stale: {config.stale}")


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="log: %(message)s")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None, Path(directory) / "web.json"))
