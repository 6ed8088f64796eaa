"""An empty etcd, asked as it is (``raw``) and through the client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from tests.support.wire import Raw


@pytest.fixture
def raw(etcd: EtcdServer) -> Raw:
    return Raw(etcd.url)


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[Client]:
    async with Client(etcd.url) as client:
        yield client
