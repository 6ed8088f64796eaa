"""Facts, section 2 and the first row of section 0: directories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from etcdorm import UsageError
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import (
    Client,
    EtcdAlreadyExist,
    EtcdDirNotEmpty,
    EtcdException,
    EtcdKeyNotFound,
    EtcdNotDir,
    EtcdNotFile,
    EtcdResult,
    EtcdRootReadOnly,
)
from tests.support.wire import Raw


def v3_4(etcd: EtcdServer) -> bool:
    return etcd.binary.version.startswith("3.4.")


# -- making one --------------------------------------------------------------------------------------------------------


async def test_a_directory_is_made_once(raw: Raw, client: Client) -> None:
    assert (await raw.put("/dir", "dir=true")).status == 201
    assert (await raw.put("/dir", "dir=true")).says == (403, 102)
    assert (await raw.put("/dir", "dir=true&prevExist=false")).says == (412, 105)
    with pytest.raises(EtcdNotFile):
        await client.write("/dir", dir=True)
    with pytest.raises(EtcdAlreadyExist):
        await client.write("/dir", dir=True, prevExist=False)


async def test_a_directory_over_a_key_replaces_the_key(raw: Raw) -> None:
    await raw.put("/key", "value=a")
    reply = await raw.put("/key", "dir=true")
    assert (reply.says, reply.node["dir"], reply.json["prevNode"]["value"]) == ((200, "set"), True, "a")


async def test_dir_and_prev_exist_on_a_key_blank_it_and_drop_its_ttl(raw: Raw, client: Client) -> None:
    await raw.put("/key", "value=a&ttl=60")
    await raw.put("/key", "dir=true&prevExist=true")
    node = (await raw.get("/key")).node
    assert node["value"] == ""
    assert "ttl" not in node
    # So the client never sends the two together.
    await client.write("/key", "a", 60)
    with pytest.raises(UsageError, match="would blank"):
        await client.write("/key", dir=True, prevExist=True)
    assert (await client.read("/key")).value == "a"


@pytest.mark.parametrize(
    "form",
    ["dir=true&prevExist=true", "prevExist=true&ttl=60", "prevExist=true&ttl=60&refresh=true", "prevExist=true&ttl="],
)
async def test_every_update_of_a_directory_is_done_by_etcd_3_4_and_refused_by_3_5(
    etcd: EtcdServer, raw: Raw, form: str
) -> None:
    await raw.put("/dir", "dir=true")
    reply = await raw.put("/dir", form)
    if v3_4(etcd):
        assert reply.says == (200, "update")
    else:
        assert reply.says == (500, 300)
        assert reply.json["cause"].endswith("Not a file ()")


async def test_the_client_updates_no_directory_whatever_the_version(etcd: EtcdServer, raw: Raw) -> None:
    await raw.put("/dir", "dir=true")
    before = (await raw.get("/dir")).index
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        with pytest.raises(UsageError, match="can't be updated"):
            await client.write("/dir", dir=True, ttl=60, prevExist=True)
        with pytest.raises(UsageError, match="can't be updated"):
            await client.write("/dir", dir=True, ttl=60, prevIndex=before)
        with pytest.raises(UsageError, match="can't be updated"):
            await client.write("/dir", dir=True, prevValue="a")
        assert not proxy.seen


async def test_a_refresh_of_what_is_a_directory_is_refused_as_such_by_3_5(
    etcd: EtcdServer, raw: Raw, client: Client
) -> None:
    # Only etcd knows that it is one, so here the versions differ for users of the client too.
    await raw.put("/dir", "dir=true")
    if v3_4(etcd):
        assert isinstance(await client.refresh("/dir", 60), EtcdResult)
    else:
        with pytest.raises(EtcdNotFile, match="is a directory"):
            await client.refresh("/dir", 60)


# -- directories and keys in each other's place ------------------------------------------------------------------------

Call = Callable[[Client], Awaitable[object]]

REFUSED: dict[str, tuple[str, str, str | None, tuple[int, int], type[EtcdException], Call]] = {
    "value over a directory": ("PUT", "/dir", "value=a", (403, 102), EtcdNotFile, lambda c: c.write("/dir", "a")),
    "write below a key": ("PUT", "/key/x", "value=a", (400, 104), EtcdNotDir, lambda c: c.write("/key/x", "a")),
    "read below a key": ("GET", "/key/x", None, (400, 104), EtcdNotDir, lambda c: c.read("/key/x")),
    "delete below a key": ("DELETE", "/key/x", None, (400, 104), EtcdNotDir, lambda c: c.delete("/key/x")),
    "write to the root": ("PUT", "/", "value=a", (400, 107), EtcdRootReadOnly, lambda c: c.write("/", "a")),
    "delete of the root": (
        "DELETE",
        "/?recursive=true",
        None,
        (400, 107),
        EtcdRootReadOnly,
        lambda c: c.delete("/", recursive=True),
    ),
    "delete of the root by its index": (
        "DELETE",
        "/?prevIndex=1",
        None,
        (403, 102),
        EtcdNotFile,
        lambda c: c.delete("/", prevIndex=1),
    ),
    "delete of a directory": ("DELETE", "/dir", None, (403, 102), EtcdNotFile, lambda c: c.delete("/dir")),
    "delete of a full directory": (
        "DELETE",
        "/dir?dir=true",
        None,
        (403, 108),
        EtcdDirNotEmpty,
        lambda c: c.delete("/dir", dir=True),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_a_directory_or_a_key_in_its_place_refuses(raw: Raw, client: Client, case: str) -> None:
    method, target, form, answer, kind, call = REFUSED[case]
    await raw.put("/dir/key", "value=a")
    await raw.put("/key", "value=a")
    assert (await raw.ask(method, f"/v2/keys{target}", form)).says == answer
    with pytest.raises(kind) as caught:
        await call(client)
    assert caught.value.code == answer[1]


async def test_recursive_alone_deletes_a_full_directory_and_a_key_too(raw: Raw) -> None:
    await raw.put("/dir/key", "value=a")
    await raw.put("/key", "value=a")
    assert (await raw.delete("/dir?recursive=true")).says == (200, "delete")
    assert (await raw.delete("/key?recursive=true")).says == (200, "delete")


async def test_a_delete_that_asks_for_a_directory_takes_a_key_too(raw: Raw) -> None:
    await raw.put("/key", "value=a")
    assert (await raw.delete("/key?dir=true")).says == (200, "delete")
    assert (await raw.get("/key")).says == (404, 100)


@pytest.mark.parametrize("more", ["", "&recursive=true", "&dir=true"])
async def test_no_directory_can_be_compared_not_even_by_its_own_index(raw: Raw, client: Client, more: str) -> None:
    index = (await raw.put("/dir", "dir=true")).node["modifiedIndex"]
    assert (await raw.delete(f"/dir?prevIndex={index}{more}")).says == (403, 102)
    assert (await raw.put("/dir", f"value=a&prevIndex={index}")).says == (403, 102)
    with pytest.raises(EtcdNotFile):
        await client.delete("/dir", prevIndex=index, recursive="recursive" in more)


async def test_parents_are_made_without_a_ttl_and_stay_when_they_are_empty(raw: Raw) -> None:
    await raw.put("/a/b/key", "value=a&ttl=60")
    assert "ttl" not in (await raw.get("/a/b")).node
    await raw.delete("/a/b/key")
    assert (await raw.get("/a/b")).node["dir"] is True


async def test_writes_below_a_directory_change_neither_its_index_nor_its_ttl(raw: Raw) -> None:
    made = (await raw.put("/dir", "dir=true&ttl=60")).node
    await raw.put("/dir/key", "value=a")
    found = (await raw.get("/dir")).node
    assert (found["modifiedIndex"], found["expiration"]) == (made["modifiedIndex"], made["expiration"])


# -- TTLs of directories -----------------------------------------------------------------------------------------------


async def test_a_directory_expires_whole_with_one_event_and_comes_back_without_its_ttl(
    raw: Raw, client: Client
) -> None:
    start = (await raw.put("/dir", "dir=true&ttl=1")).index
    for key in ("key", "_hidden", "longer"):
        await raw.put(f"/dir/{key}", "value=a&ttl=3600")
    event = await client.watch("/dir", start + 4, recursive=True, timeout=10)
    assert (event.action, event.key, event.dir) == ("expire", "/dir", True)
    for key in ("", "/key", "/_hidden", "/longer"):
        with pytest.raises(EtcdKeyNotFound):
            await client.read(f"/dir{key}")
    after = await client.write("/dir/key", "b")
    assert after.modifiedIndex == event.modifiedIndex + 1  # no other event in between
    assert (await client.read("/dir")).ttl is None


async def test_the_refresh_of_a_directory_shows_an_index_on_3_4_that_the_directory_does_not_have(
    etcd: EtcdServer, raw: Raw
) -> None:
    made = (await raw.put("/dir", "dir=true&ttl=60")).node["modifiedIndex"]
    assert (await raw.put("/dir", "dir=true&ttl=60")).says == (403, 102)
    reply = await raw.put("/dir", "prevExist=true&ttl=120")
    if v3_4(etcd):
        assert reply.node["modifiedIndex"] == made + 1
    else:
        assert reply.says == (500, 300)
    assert (await raw.get("/dir")).node["modifiedIndex"] == made
