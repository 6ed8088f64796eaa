"""Facts, section 1: keys, their values, and how a request must look so that etcd takes it for what it is."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import UsageError
from etcdorm.errors import ServerError
from etcdorm.testing import EtcdBinary, EtcdServer, FaultProxy
from etcdorm.v2 import Client, EtcdKeyNotFound, EtcdProtocolError, EtcdValueError
from etcdorm.v2.request import _LARGEST_FORM, LONGEST_KEY
from tests.support.wire import Raw

# -- what each request answers -----------------------------------------------------------------------------------------

MISSING = {
    "PUT value": ("PUT", "/key", "value=b", (201, "set")),
    "PUT prevExist=true": ("PUT", "/key", "value=b&prevExist=true", (404, 100)),
    "PUT prevExist=false": ("PUT", "/key", "value=b&prevExist=false", (201, "create")),
    "PUT prevValue": ("PUT", "/key", "value=b&prevValue=a", (404, 100)),
    "PUT prevIndex": ("PUT", "/key", "value=b&prevIndex=1", (404, 100)),
    "POST": ("POST", "/key", "value=b", (201, "create")),
    "DELETE": ("DELETE", "/key", None, (404, 100)),
    "DELETE prevValue": ("DELETE", "/key?prevValue=a", None, (404, 100)),
    "DELETE prevIndex": ("DELETE", "/key?prevIndex=1", None, (404, 100)),
    "GET": ("GET", "/key", None, (404, 100)),
}
EXISTING = {
    "PUT value": ("PUT", "/key", "value=b", (200, "set")),
    "PUT prevExist=true": ("PUT", "/key", "value=b&prevExist=true", (200, "update")),
    "PUT prevExist=false": ("PUT", "/key", "value=b&prevExist=false", (412, 105)),
    "PUT prevValue": ("PUT", "/key", "value=b&prevValue=a", (200, "compareAndSwap")),
    "PUT wrong prevValue": ("PUT", "/key", "value=b&prevValue=x", (412, 101)),
    "PUT wrong prevIndex": ("PUT", "/key", "value=b&prevIndex=1", (412, 101)),
    "POST": ("POST", "/key", "value=b", (400, 104)),
    "DELETE": ("DELETE", "/key", None, (200, "delete")),
    "DELETE prevValue": ("DELETE", "/key?prevValue=a", None, (200, "compareAndDelete")),
    "DELETE wrong prevValue": ("DELETE", "/key?prevValue=x", None, (412, 101)),
    "DELETE wrong prevIndex": ("DELETE", "/key?prevIndex=1", None, (412, 101)),
    "GET": ("GET", "/key", None, (200, "get")),
}


@pytest.mark.parametrize("request_", MISSING)
async def test_what_a_request_for_a_missing_key_answers(raw: Raw, request_: str) -> None:
    method, target, form, answer = MISSING[request_]
    assert (await raw.ask(method, f"/v2/keys{target}", form)).says == answer


@pytest.mark.parametrize("request_", EXISTING)
async def test_what_a_request_for_an_existing_key_answers(raw: Raw, request_: str) -> None:
    method, target, form, answer = EXISTING[request_]
    await raw.put("/key", "value=a")
    assert (await raw.ask(method, f"/v2/keys{target}", form)).says == answer


async def test_a_set_resets_the_created_index_and_an_update_keeps_it(raw: Raw, client: Client) -> None:
    first = (await raw.put("/key", "value=a")).node["createdIndex"]
    assert (await raw.put("/key", "value=a&prevExist=true")).node["createdIndex"] == first
    assert (await raw.put("/key", f"value=a&prevIndex={first + 1}")).node["createdIndex"] == first
    assert (await raw.put("/key", "value=a")).node["createdIndex"] > first
    # So the client tells a refresh that the key exists: else it would be a set.
    again = await client.write("/key", "a", 60)
    assert (await client.refresh("/key", 60)).createdIndex == again.createdIndex


async def test_the_replaced_node_comes_with_every_write_that_replaced_something(raw: Raw, client: Client) -> None:
    assert "prevNode" not in (await raw.put("/key", "value=a")).json
    for form in ("value=b", "value=c&prevExist=true", "value=d&prevValue=c"):
        before = (await raw.get("/key")).node["value"]
        assert (await raw.put("/key", form)).json["prevNode"]["value"] == before
    replaced = (await client.write("/key", "e")).prev_node
    assert replaced is not None
    assert replaced.value == "d"


async def test_an_equal_value_still_moves_the_modified_index(raw: Raw) -> None:
    first = (await raw.put("/key", "value=a")).node["modifiedIndex"]
    assert (await raw.put("/key", "value=a&prevExist=true")).node["modifiedIndex"] > first


async def test_an_appended_key_is_named_after_the_index_of_its_creation(raw: Raw, client: Client) -> None:
    index = (await raw.put("/other", "value=a")).index
    assert (await raw.post("/queue", "value=a")).node["key"] == f"/queue/{index + 1:020}"
    await raw.put("/other", "value=b")  # gaps are normal: the number is that of the whole store
    assert (await client.write("/queue", "b", append=True)).key == f"/queue/{index + 3:020}"


async def test_a_listing_is_only_in_order_when_it_is_asked_for(raw: Raw, client: Client) -> None:
    for number in range(9):
        await raw.put(f"/dir/{number}", "value=a")
    expected = [f"/dir/{number}" for number in range(9)]
    plain = [(await raw.get("/dir")).keys for _ in range(20)]
    assert any(keys != expected for keys in plain)
    assert all(sorted(keys) == expected for keys in plain)
    assert (await raw.get("/dir?sorted=true")).keys == expected
    assert [child.key for child in (await client.read("/dir", sorted=True)).children] == expected


async def test_the_index_of_a_writes_answer_is_the_modified_index_it_made(raw: Raw, client: Client) -> None:
    for reply in (await raw.put("/key", "value=a"), await raw.post("/queue", "value=a"), await raw.delete("/key")):
        assert reply.index == reply.node["modifiedIndex"]
    written = await client.write("/key", "b")
    assert written.etcd_index == written.modifiedIndex


@pytest.mark.parametrize("form", ["value=b", "value=b&prevExist=true", "value=b&prevIndex={}", "ttl=60&refresh=true"])
async def test_an_answer_without_values_has_the_index_in_its_header_alone(raw: Raw, form: str) -> None:
    before = (await raw.put("/key", "value=a")).index
    reply = await raw.put("/key", f"{form.format(before)}&noValueOnSuccess=true")
    assert reply.json.keys() == {"action"}
    assert reply.index == (await raw.get("/key")).node["modifiedIndex"] == before + 1


async def test_neither_has_that_of_a_post_and_a_delete_tells_all_the_same(raw: Raw) -> None:
    posted = await raw.post("/queue", "value=a&noValueOnSuccess=true")
    assert posted.json == {"action": "create"}
    deleted = await raw.delete(f"/queue/{posted.index:020}?noValueOnSuccess=true")
    assert deleted.json["prevNode"]["value"] == "a"


# -- nodes as they stand in the answers --------------------------------------------------------------------------------


async def test_the_root_has_neither_a_key_nor_an_index(raw: Raw, client: Client) -> None:
    assert (await raw.get("/")).node.keys() <= {"dir", "nodes"}
    root = await client.read("/")
    assert (root.key, root.createdIndex, root.modifiedIndex, root.dir) == ("/", 0, 0, True)


async def test_dir_is_only_there_when_it_is_true_and_nodes_when_there_are_some(raw: Raw, client: Client) -> None:
    await raw.put("/dir/empty", "dir=true")
    await raw.put("/key", "value=a")
    assert (await raw.get("/dir/empty")).node.keys() == {"key", "dir", "createdIndex", "modifiedIndex"}
    assert "dir" not in (await raw.get("/key")).node
    assert list((await client.read("/dir/empty")).children) == []
    assert (await client.read("/key")).dir is False


async def test_a_key_always_has_a_value_even_an_empty_one(raw: Raw, client: Client) -> None:
    assert (await raw.put("/key", "value=")).node["value"] == ""
    assert (await raw.get("/key")).node["value"] == ""
    assert (await client.read("/key")).value == ""


async def test_what_was_deleted_stands_in_the_replaced_node_alone(raw: Raw, client: Client) -> None:
    await raw.put("/key", "value=a")
    reply = await raw.delete("/key")
    assert "value" not in reply.node
    assert reply.json["prevNode"]["value"] == "a"
    await client.write("/key", "b")
    assert (await client.pop("/key")).value == "b"


# -- where parameters are seen -----------------------------------------------------------------------------------------


async def test_parameters_are_taken_from_the_query_and_from_the_body_which_prevails(raw: Raw) -> None:
    assert (await raw.put("/key?value=query")).node["value"] == "query"
    assert (await raw.put("/key?value=query", "value=body")).node["value"] == "body"
    assert (await raw.put("/key", "value=first&value=second")).node["value"] == "first"
    assert (await raw.put("/key", "value=a&prevexist=false&no=such")).says == (200, "set")


@pytest.mark.parametrize("type_", [None, "text/plain", "application/json", "multipart/form-data; boundary=x"])
async def test_a_body_of_another_type_is_ignored_so_the_key_is_blanked_without_a_condition(
    raw: Raw, type_: str | None
) -> None:
    await raw.put("/key", "value=a")
    reply = await raw.ask("PUT", "/v2/keys/key", "value=b&prevValue=wrong", type=type_)
    assert (reply.says, reply.node["value"]) == ((200, "set"), "")


async def test_the_client_sends_conditions_of_a_put_in_a_body_of_the_type_that_etcd_reads(client: Client) -> None:
    await client.write("/key", "a")
    with pytest.raises(EtcdValueError):
        await client.write("/key", "b", prevValue="wrong")
    assert (await client.read("/key")).value == "a"


async def test_conditions_in_the_body_of_a_delete_are_ignored(etcd: EtcdServer, raw: Raw) -> None:
    await raw.put("/key", "value=a")
    assert (await raw.ask("DELETE", "/v2/keys/key", "prevValue=wrong")).says == (200, "delete")
    # The client sends them in the query.
    await raw.put("/key", "value=a")
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        with pytest.raises(EtcdValueError):
            await client.delete("/key", prevValue="wrong")
        assert [(seen.target, seen.body) for seen in proxy.seen] == [("/v2/keys/key?prevValue=wrong", b"")]


@pytest.mark.parametrize(("flag", "answer"), [("true", 201), ("True", 201), ("T", 201), ("1", 201), ("yes", 400)])
async def test_a_flag_is_true_in_four_spellings_and_refused_in_others(raw: Raw, flag: str, answer: int) -> None:
    assert (await raw.put("/dir", f"dir={flag}")).status == answer


@pytest.mark.parametrize("flag", ["yes", ""])
async def test_a_flag_that_can_not_be_read_is_error_209(raw: Raw, flag: str) -> None:
    assert (await raw.put("/dir", f"dir={flag}")).says == (400, 209)


async def test_a_bare_semicolon_is_refused_by_etcd_3_4_and_cuts_the_value_on_3_5(
    etcd: EtcdServer, raw: Raw, client: Client
) -> None:
    reply = await raw.put("/key", "value=a;b")
    if etcd.binary.version.startswith("3.4."):
        assert reply.says == (400, 210)
    else:
        assert reply.node["value"] == "a"
    # So the client sends none, neither in a value nor in a condition.
    await client.write("/key", "a;b")
    assert (await client.write("/key", "c;d", prevValue="a;b")).value == "c;d"
    await client.delete("/key", prevValue="c;d")


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["ü 日本 \U0001f600", "a\nb\r\nc", "a\0b", "", "a+b c%20"])
async def test_unicode_newlines_nul_and_nothing_at_all_come_back(client: Client, value: str) -> None:
    await client.write("/key", value)
    assert (await client.read("/key")).value == value


async def test_a_value_that_is_no_utf_8_comes_back_changed(raw: Raw, client: Client) -> None:
    assert (await raw.put("/key", "value=a%FFb")).status == 201
    assert (await raw.get("/key")).node["value"] == "a\ufffdb"
    # The client has no way to write such bytes.
    with pytest.raises(UsageError, match="surrogate"):
        await client.write("/key", "a\udcffb")


async def test_a_plus_in_a_form_is_a_space(raw: Raw, client: Client) -> None:
    assert (await raw.put("/key", "value=a+b")).node["value"] == "a b"
    assert (await client.write("/key", "a+b")).value == "a+b"


MOST = 10 * 1024 * 1024
"""Bytes of a form that etcd takes."""


async def test_a_value_of_ten_mebibytes_is_taken_and_etcd_never_starts_again(etcd_binary: EtcdBinary) -> None:
    async with EtcdServer(binary=etcd_binary) as server:
        assert (await Raw(server.url).put("/large", "value=" + "x" * (MOST - len("value=")))).status == 201
        with pytest.raises(ServerError, match="max entry size limit exceeded"):
            await asyncio.to_thread(server.restart)


async def test_the_largest_value_that_the_client_writes_is_there_after_a_restart(etcd_binary: EtcdBinary) -> None:
    largest = "x" * (_LARGEST_FORM - len("value="))
    async with EtcdServer(binary=etcd_binary) as server, Client(server.url, timeout=30) as client:
        key = "/" + "k" * (LONGEST_KEY - 1)
        await client.write(key, largest)
        await asyncio.to_thread(server.restart)
        assert (await client.read(key)).value == largest


async def test_a_form_of_more_is_refused_or_its_connection_is_reset(etcd: EtcdServer, raw: Raw) -> None:
    try:
        reply = await raw.put("/large", "value=" + "x" * MOST)
    except (OSError, EOFError):
        pass  # it was reset while the body was still on its way
    else:
        assert reply.says == (400, 210)
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        with pytest.raises(UsageError, match="is the most"):
            await client.write("/large", "x" * _LARGEST_FORM)
        with pytest.raises(UsageError, match="is the most"):
            await client.write("/large", "ü" * (MOST // 4))  # it is longer in a form
        assert not proxy.seen


async def test_a_request_line_of_more_than_4096_bytes_resets_a_fresh_connection(raw: Raw, client: Client) -> None:
    with pytest.raises((OSError, EOFError)):
        await raw.delete("/key?prevValue=" + "x" * 6000)
    # So the client refuses whatever would make such a line.
    with pytest.raises(UsageError, match="prevIndex"):
        await client.delete("/key", prevValue="x" * 6000)
    with pytest.raises(UsageError, match="bytes in a URL"):
        await client.read("/" + "x" * 6000)


# -- key paths ---------------------------------------------------------------------------------------------------------

PATHS = {
    "%20": " ",
    "%3F": "?",
    "%23": "#",
    "%25": "%",
    "%2B": "+",
    "+": "+",
    "%C3%BC": "ü",
    "%0A": "\n",
    "%00": "\0",
    ";": ";",
    ":": ":",
    "*": "*",
}


@pytest.mark.parametrize("quoted", PATHS)
async def test_odd_characters_may_stand_in_a_key(raw: Raw, client: Client, quoted: str) -> None:
    assert (await raw.put(f"/a{quoted}b", "value=x")).node["key"] == f"/a{PATHS[quoted]}b"
    assert (await client.read(f"/a{PATHS[quoted]}b")).value == "x"


async def test_a_key_that_is_no_utf_8_is_listed_under_a_name_that_is_not_found(raw: Raw, client: Client) -> None:
    await raw.put("/dir/a%FFb", "value=x")
    (key,) = [child.key for child in (await client.read("/dir")).children]
    with pytest.raises(EtcdKeyNotFound):
        await client.read(key)
    # The client has no way to write such a key.
    with pytest.raises(UsageError):
        await client.write("/dir/a\udcffb", "x")


async def test_a_quoted_slash_separates_segments_all_the_same(raw: Raw, client: Client) -> None:
    assert (await raw.put("/a%2Fb", "value=x")).node["key"] == "/a/b"
    # What stands in a key of the client is a slash, or three characters; never a slash within a segment.
    await client.write("/c%2Fd", "y")
    assert [child.key for child in (await client.read("/")).children if "c" in child.key] == ["/c%2Fd"]


async def test_a_slash_at_the_end_is_dropped(raw: Raw) -> None:
    assert (await raw.put("/key/", "value=x")).node["key"] == "/key"


@pytest.mark.parametrize("path", ["/a//b", "/a/./b", "/a/../b", "/a%2F%2Fb", "/a/%2e%2e/b"])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_empty_and_dotted_segments_are_redirected_and_nothing_is_done(raw: Raw, path: str, method: str) -> None:
    await raw.put("/b", "value=x")
    before = (await raw.get("/")).index
    reply = await raw.ask(method, f"/v2/keys{path}", "value=y")
    assert reply.status == 301
    assert (await raw.get("/")).index == before


@pytest.mark.parametrize("key", ["/a//b", "/a/./b", "/a/../b"])
async def test_the_client_refuses_what_would_be_redirected(client: Client, key: str) -> None:
    with pytest.raises(UsageError, match="segment"):
        await client.write(key, "y")


async def test_the_client_follows_no_redirect(raw: Raw, etcd: EtcdServer) -> None:
    moved = b"HTTP/1.1 301 Moved Permanently\r\nLocation: /v2/keys/b\r\nContent-Length: 0\r\n\r\n"
    async with FaultProxy(etcd.url, answer=lambda seen: moved) as proxy, Client(proxy.url) as client:
        with pytest.raises(EtcdProtocolError):
            await client.write("/b", "y", append=True)
    assert (await raw.get("/b")).says == (404, 100)


# -- hidden keys -------------------------------------------------------------------------------------------------------


async def test_a_hidden_key_is_absent_from_listings_and_readable_by_its_path(raw: Raw, client: Client) -> None:
    await raw.put("/dir/_hidden/key", "value=a")
    await raw.put("/dir/_key", "value=a")
    assert (await raw.get("/dir?recursive=true")).keys == []
    assert (await raw.get("/dir/_hidden")).keys == ["/dir/_hidden/key"]
    assert (await client.read("/dir/_key")).value == "a"


async def test_a_directory_with_nothing_but_hidden_keys_is_not_empty(raw: Raw) -> None:
    await raw.put("/dir/_key", "value=a")
    assert (await raw.delete("/dir?dir=true")).says == (403, 108)
    assert (await raw.delete("/dir?recursive=true")).says == (200, "delete")
    assert (await raw.get("/dir/_key")).says == (404, 100)
