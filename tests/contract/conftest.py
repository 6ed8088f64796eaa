"""The stores that have to keep the port's contract: etcd v2, on every etcd there is, and the tests' own in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from etcdorm.embedded import EtcdServer
from etcdorm.store import Store
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store
from tests.conftest import USES, Servers, every_etcd
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore

MakeStore = Callable[[], Store]


@pytest.fixture(params=[None, *every_etcd()], ids=lambda binary: "memory" if binary is None else binary.version)
def make_store(request: pytest.FixtureRequest, etcd_servers: Servers) -> MakeStore:
    """Makes stores on one and the same etcd."""
    if request.param is None:
        etcd = MemoryEtcd()
        return lambda: MemoryStore(etcd)
    request.config.stash[USES][request.param] += 1
    server: EtcdServer = etcd_servers.lend(request.param)
    return lambda: V2Store(Client(server.url))


@pytest.fixture
async def store(make_store: MakeStore) -> AsyncIterator[Store]:
    store = make_store()
    yield store
    await store.close()


@pytest.fixture
async def other(make_store: MakeStore) -> AsyncIterator[Store]:
    """A second store on the same etcd, as another process has it."""
    store = make_store()
    yield store
    await store.close()
