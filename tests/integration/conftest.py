"""A session, and a bare client beside it, on an empty etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from etcdorm import Session, connect
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from tests.support.models import Doc, Node, Service


@pytest.fixture
async def session(etcd: EtcdServer) -> AsyncIterator[Session]:
    async with connect(etcd.url) as session:
        yield session


@pytest.fixture
async def other(etcd: EtcdServer) -> AsyncIterator[Session]:
    """A second session, with connections of its own."""
    async with connect(etcd.url) as session:
        yield session


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[Client]:
    """What another tool, that knows nothing of etcdorm, would use."""
    async with Client(etcd.url) as client:
        yield client


@pytest.fixture(params=[Node, Doc], ids=["directory", "document"])
def kind(request: pytest.FixtureRequest) -> type[Service]:
    """The same model in each layout."""
    model: type[Service] = request.param
    return model
