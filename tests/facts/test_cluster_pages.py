"""Facts, section 8: the pages about members and statistics, and what a cluster's id is worth."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from etcdorm.embedded.probe import free_ports
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client, EtcdEventIndexCleared
from tests.support.raw import soon
from tests.support.wire import Raw


async def test_the_machines_are_text_with_commas(raw: Raw, etcd: EtcdServer, client: Client) -> None:
    reply = await raw.ask("GET", "/v2/machines")
    assert reply.body.decode().split(", ") == [etcd.url]
    assert await client.machines() == [etcd.url]


async def test_members_are_named_by_ids_and_an_unknown_one_is_a_404(raw: Raw, client: Client) -> None:
    reply = await raw.ask("GET", "/v2/members")
    assert {member["id"] for member in reply.json["members"]} == (await client.members()).keys()
    assert (await raw.ask("DELETE", "/v2/members/1")).status == 404


async def test_an_etcd_made_anew_has_the_same_cluster_id_and_counts_from_the_beginning_again(
    etcd_binary: EtcdBinary, tmp_path: Path
) -> None:
    ports = free_ports(2)

    def server(number: int) -> EtcdServer:
        return EtcdServer(binary=etcd_binary, data_dir=tmp_path / str(number), name="same", ports=(ports[0], ports[1]))

    async with Client(f"http://127.0.0.1:{ports[0]}", timeout=5) as client:
        async with server(1) as old:
            for number in range(20):
                index = (await client.write("/key", number)).modifiedIndex
            identity = (await Raw(old.url).get("/")).headers["x-etcd-cluster-id"]
        async with server(2) as new:
            reply = await Raw(new.url).get("/")
            assert reply.headers["x-etcd-cluster-id"] == identity
            assert reply.index < index
            # An old waitIndex hangs without a word.
            async with Raw(new.url).waiting(f"/key?wait=true&waitIndex={index}") as wait:
                await Raw(new.url).put("/key", "value=a")
                assert await wait.silent()
            # The client says so, where etcd doesn't; its reads go on, with quorum, as answers of now.
            assert (await client.read("/key")).value == "a"
            async with asyncio.timeout(10):
                with pytest.raises(EtcdEventIndexCleared, match="made anew"):
                    await soon(client.eternal_watch("/key", index))
