"""Objects of one cluster in a session on another one: indexes of the one mean nothing in the other."""

from __future__ import annotations

import pytest

from etcdorm import AlreadyExistsError, Created, EtcdModel, UsageError, connect
from etcdorm.testing import EtcdBinary, EtcdCluster, EtcdServer


class Node(EtcdModel, path="/nodes/{name}"):
    name: str
    size: int = 0


async def test_an_object_of_one_cluster_is_a_new_one_in_another(etcd: EtcdServer, etcd_binary: EtcdBinary) -> None:
    async with EtcdCluster(1, binary=etcd_binary) as cluster, connect(cluster.urls) as there, connect(etcd.url) as here:
        node = await there.save(Node(name="n", size=1))
        await here.save(node)  # a copy
        assert await here.load(Node, "n") == await there.load(Node, "n")
        node.size = 2
        await here.save(node)  # from now on it belongs here
        assert (await there.load(Node, "n")).size == 1
        for refused in (there.delete(node), there.refresh(node, ttl=5)):
            with pytest.raises(UsageError, match="from another cluster"):
                await refused
        with pytest.raises(AlreadyExistsError):
            await there.save(node)


async def test_sessions_on_one_cluster_share_its_objects(etcd: EtcdServer) -> None:
    async with connect(etcd.url) as one:
        node = await one.save(Node(name="n"))
        node.size = 1
        async with connect(etcd.url) as other:  # which has not heard from its cluster yet
            await other.save(node)
        assert (await one.load(Node, "n")).size == 1
        async with one.watch(Node) as changes:
            found = await anext(changes)
        assert isinstance(found, Created)
        async with connect(etcd.url) as other:
            await other.delete(found.new)
        assert await one.get(Node, "n") is None
