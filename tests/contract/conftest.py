"""The stores that have to keep the port's contract: etcd v2, on every etcd there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcdorm.embedded import EtcdServer
from etcdorm.store import Store
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store


@pytest.fixture
async def store(etcd: EtcdServer) -> AsyncIterator[Store]:
    store: Store = V2Store(Client(etcd.url))
    yield store
    await store.close()


@pytest.fixture
async def other(etcd: EtcdServer) -> AsyncIterator[Store]:
    """A second store on the same etcd, as another process has it."""
    store: Store = V2Store(Client(etcd.url))
    yield store
    await store.close()
