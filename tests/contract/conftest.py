"""The stores that have to keep the port's contract: etcd v2, on every etcd there is, a namespace in it, and the one in
memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcdorm.store import Namespaced, Store
from etcdorm.testing import EtcdBinary
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store
from tests.conftest import USES, Servers, every_etcd
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_store import MemoryStore

Stores = tuple[Store, Store]


def in_memory(request: pytest.FixtureRequest, binary: None) -> Stores:
    etcd = MemoryEtcd()
    return MemoryStore(etcd), MemoryStore(etcd)


def v2(request: pytest.FixtureRequest, binary: EtcdBinary) -> Stores:
    request.config.stash[USES][str(binary)] += 1
    servers: Servers = request.getfixturevalue("etcd_servers")
    url = servers.lend(binary).url
    return V2Store(Client(url)), V2Store(Client(url))


def namespaced(request: pytest.FixtureRequest, binary: EtcdBinary) -> Stores:
    """Hidden, as its deeper end is not: as one within the other, and the same place at once."""
    one, other = v2(request, binary)
    return Namespaced(Namespaced(one, "/_hidden"), "/team-a"), Namespaced(other, "/_hidden/team-a")


KINDS = [
    pytest.param((in_memory, None), id="memory"),
    *(
        pytest.param((make, binary), id=f"{name}-{binary.version}")
        for binary in every_etcd()
        for name, make in (("v2", v2), ("namespace", namespaced))
    ),
]


@pytest.fixture(params=KINDS)
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    make, binary = request.param
    pair: Stores = make(request, binary)
    yield pair
    for store in pair:
        await store.close()


@pytest.fixture
def store(stores: Stores) -> Store:
    return stores[0]


@pytest.fixture
def other(stores: Stores) -> Store:
    """A second store on the same etcd, as another process has it."""
    return stores[1]
