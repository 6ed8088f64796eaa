"""Facts, section 7: errors, their codes, and what comes with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from etcdorm.embedded.command import etcd_arguments, etcd_environment
from etcdorm.embedded.probe import free_ports
from etcdorm.testing import EtcdBinary, EtcdServer, FaultProxy
from etcdorm.v2 import (
    Client,
    EtcdException,
    EtcdInsufficientPermissions,
    EtcdKeyNotFound,
    EtcdLeaderElectionInProgress,
    EtcdNotFile,
    EtcdProtocolError,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EtcdValueError,
    EtcdWatcherCleared,
)
from etcdorm.v2.errors import from_answer
from tests.support.wire import Raw

CODES = {
    "empty prevValue": ("/key", "value=a&prevValue=", (400, 201)),
    "bad ttl": ("/key", "value=a&ttl=x", (400, 202)),
    "bad index": ("/key", "value=a&prevIndex=x", (400, 203)),
    "bad flag": ("/key", "dir=x", (400, 209)),
    "bad escape": ("/key", "value=%zz", (400, 210)),
    "refresh with a value": ("/key", "refresh=true&ttl=1&value=a", (400, 211)),
    "refresh without a ttl": ("/key", "refresh=true", (400, 212)),
}


@pytest.mark.parametrize("case", CODES)
async def test_parameters_that_can_not_be_read_are_errors_from_200_on(raw: Raw, case: str) -> None:
    # The client sends none of these; behind a proxy that does, they are EtcdValueError.
    target, form, answer = CODES[case]
    assert (await raw.put(target, form)).says == answer
    error = from_answer("PUT /key", code=answer[1], message="", cause="", index=0, writes=True)
    assert type(error) is EtcdValueError


async def test_the_cause_of_a_missing_key_is_the_first_directory_that_is_missing(raw: Raw, client: Client) -> None:
    await raw.put("/a/key", "value=a")
    assert (await raw.get("/a/b/c/d")).json["cause"] == "/a/b"
    with pytest.raises(EtcdKeyNotFound, match="GET /a/b/c/d at") as caught:
        await client.read("/a/b/c/d")
    assert caught.value.cause == "/a/b"


async def test_an_error_has_the_index_of_the_store_in_its_header_and_no_raft_index(raw: Raw, client: Client) -> None:
    index = (await raw.put("/key", "value=a")).index
    reply = await raw.get("/no/such")
    assert (reply.index, reply.json["index"]) == (index, index)
    assert "x-raft-index" not in reply.headers
    with pytest.raises(EtcdKeyNotFound) as caught:
        await client.read("/no/such")
    assert caught.value.index == index


async def test_an_error_about_a_parameter_has_no_index_in_its_body(raw: Raw) -> None:
    assert (await raw.put("/key", "value=a&ttl=x")).json["index"] == 0


async def test_without_v2_every_page_is_a_404_in_plain_text(etcd_binary: EtcdBinary, tmp_path: Path) -> None:
    ports = free_ports(2)
    arguments = etcd_arguments(
        etcd_binary.version, name="v3", data_dir=tmp_path, ports=(ports[0], ports[1]), extra=["--enable-v2=false"]
    )
    process = await asyncio.create_subprocess_exec(
        etcd_binary.path, *arguments, env=etcd_environment(), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with Client(f"http://127.0.0.1:{ports[0]}") as client:
            for call in (client.read("/key"), client.write("/key", "a"), client.members(), client.machines()):
                with pytest.raises(EtcdProtocolError, match="--enable-v2"):
                    await call
        reply = await Raw(f"http://127.0.0.1:{ports[0]}").get("/key")
        assert (reply.status, reply.body) == (404, b"404 page not found\n")
    finally:
        process.kill()
        await process.wait()


async def test_a_method_that_is_not_known_is_a_405_in_plain_text(raw: Raw) -> None:
    reply = await raw.ask("PATCH", "/v2/keys/key")
    assert (reply.status, reply.body) == (405, b"Method Not Allowed\n")


async def test_errors_of_other_pages_have_a_message_and_no_code(raw: Raw) -> None:
    reply = await raw.ask("DELETE", "/v2/members/123")
    assert (reply.status, reply.json) == (404, {"message": "No such member: 123"})


# -- what a healthy server on its own never says, in the words that were measured --------------------------------------

TIMED_OUT = "etcdserver: request timed out, possibly due to previous leader failure"

RARE: dict[str, tuple[int, str, bool, type[EtcdException]]] = {
    "a write without a majority": (300, TIMED_OUT, True, EtcdUnconfirmed),
    "a read without a majority": (300, TIMED_OUT, False, EtcdUnavailable),
    "an update of a directory on 3.5": (300, "nodePath /1/d : Not a file ()", True, EtcdNotFile),
    "no right to the key": (110, "Insufficient credentials", True, EtcdInsufficientPermissions),
    "an election": (301, "", True, EtcdLeaderElectionInProgress),
    "a dropped watcher": (400, "", False, EtcdWatcherCleared),
    "an error of the future": (499, "", False, EtcdRefused),
}


@pytest.mark.parametrize("case", RARE)
def test_what_an_error_becomes_hangs_on_its_code_and_on_whether_it_was_a_write(case: str) -> None:
    code, cause, writes, kind = RARE[case]
    error = from_answer("PUT /d", code=code, message="Words", cause=cause, index=0, writes=writes)
    assert type(error) is kind
    assert error.code == code


async def test_a_read_that_finds_no_majority_goes_to_the_next_member(etcd: EtcdServer, client: Client) -> None:
    await client.write("/key", "a")
    body = f'{{"errorCode":300,"message":"Raft Internal Error","cause":"{TIMED_OUT}","index":0}}'
    answer = f"HTTP/1.1 500 Internal Server Error\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    async with FaultProxy(etcd.url, answer=lambda seen: answer) as cut_off, Client([cut_off.url, etcd.url]) as both:
        assert (await both.read("/key", quorum=True)).value == "a"
        assert both.endpoints == (etcd.url, cut_off.url)
        with pytest.raises(EtcdUnconfirmed, match="may still happen"):
            async with Client([cut_off.url, etcd.url]) as again:
                await again.write("/key", "b")
        assert cut_off.methods() == ["GET", "PUT"]
    assert (await client.read("/key")).value == "a"
