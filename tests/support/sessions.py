"""Sessions on a store in memory, as of several processes, for tests in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from etcdorm import EtcdModel, Session
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    port: int = 0
    note: str = ""


class Doc(EtcdModel, path="/docs/{name}", layout="document"):
    name: str
    port: int = 0
    note: str = ""


class Leader(EtcdModel, path="/leaders/{service}"):
    service: str
    host: str
    load: int = 0


Kind = type[Node] | type[Doc]


class Process:
    """One process: a session, and its connection to the etcd that all share."""

    def __init__(self, etcd: MemoryEtcd | None = None, *, latency: float = 0.0) -> None:
        self.store = MemoryStore(etcd, latency=latency)
        self.etcd = self.store.etcd
        self.session = Session(self.store)

    async def frozen(self, seconds: float) -> None:
        """Let it do nothing for so long, as under SIGSTOP; what it does then, it does in one go."""
        self.store.cut_off()
        await asyncio.sleep(seconds)
        self.store.reconnect()


def now() -> float:
    return asyncio.get_running_loop().time()


def texts(etcd: MemoryEtcd, path: str) -> dict[str, str] | None:
    """What a record holds; None when there is none."""
    return next((dict(entry.fields) for each, entry in etcd._entries.items() if str(each) == path), None)


def wipe(etcd: MemoryEtcd) -> None:
    """Let all records vanish. Unlike with ``restore``, what is made from then on has indexes of its own."""
    for path in list(etcd._entries):
        etcd.take(path)


async def until(reached: Callable[[], object]) -> None:
    """Let virtual time pass until something is true."""
    while not reached():  # noqa: ASYNC110 - time is virtual here, and waiting free
        await asyncio.sleep(0.1)
