"""The stores that have to keep the port's contract: etcd v2, on every etcd there is, and a namespace in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcdorm.embedded import EtcdServer
from etcdorm.store import Namespaced, Store
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store


def v2(etcd: EtcdServer) -> Store:
    return V2Store(Client(etcd.url))


def namespaced(etcd: EtcdServer) -> Store:
    """Hidden, as its deeper end is not, and one within the other."""
    return Namespaced(Namespaced(V2Store(Client(etcd.url)), "/_hidden"), "/team-a")


def namespaced_at_once(etcd: EtcdServer) -> Store:
    """The same place."""
    return Namespaced(V2Store(Client(etcd.url)), "/_hidden/team-a")


@pytest.fixture(params=[(v2, v2), (namespaced, namespaced_at_once)], ids=["v2", "namespace"])
async def stores(request: pytest.FixtureRequest, etcd: EtcdServer) -> AsyncIterator[tuple[Store, Store]]:
    one, other = request.param
    pair: tuple[Store, Store] = (one(etcd), other(etcd))
    yield pair
    for store in pair:
        await store.close()


@pytest.fixture
def store(stores: tuple[Store, Store]) -> Store:
    return stores[0]


@pytest.fixture
def other(stores: tuple[Store, Store]) -> Store:
    """A second store on the same etcd, as another process has it."""
    return stores[1]
