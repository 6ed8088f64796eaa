"""Errors a person can act on: what was asked, of which endpoint, what the server said, what to do; and no secrets."""

from __future__ import annotations

import logging
import re
import traceback
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from etcdorm import UsageError
from etcdorm.testing import EtcdServer, Fate, FaultProxy, Seen
from etcdorm.testing.faults import Judge, always, first
from etcdorm.v2 import (
    Client,
    EtcdAlreadyExist,
    EtcdClusterIdChanged,
    EtcdCompareFailed,
    EtcdDirNotEmpty,
    EtcdEventIndexCleared,
    EtcdException,
    EtcdInsufficientPermissions,
    EtcdKeyNotFound,
    EtcdLeaderElectionInProgress,
    EtcdNotDir,
    EtcdNotFile,
    EtcdProtocolError,
    EtcdRefused,
    EtcdRootReadOnly,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EtcdValueError,
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
)
from etcdorm.v2 import request as requests
from etcdorm.v2.errors import _BY_CODE
from tests.support.endpoints import silent_endpoint
from tests.support.raw import TRIES, flush_history

SECRET = "hunter2-the-value"
OTHER = "swordfish-the-value"
PASSWORD = "correct-horse"
PROOF = b64encode(f"root:{PASSWORD}".encode()).decode()

Answers = Callable[[Seen], bytes | None]


def answering(status: str, body: str) -> Answers:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    return lambda seen: answer


def error(status: str, code: int, message: str, cause: str = "") -> Answers:
    return answering(status, f'{{"errorCode":{code},"message":"{message}","cause":"{cause}","index":0}}')


NEW = error("400 Bad Request", 499, "New", "thing")
NO_MAJORITY = error("500 Internal Server Error", 300, "Raft Internal Error", "etcdserver: request timed out")


@dataclass(frozen=True)
class Case:
    """A call, the class of its error, and what the text says beside the method, the key and the endpoint."""

    call: Callable[[Client], Awaitable[object]]
    kind: type[EtcdException]
    asked: str
    said: str
    hint: str
    answer: Answers | None = None
    fate: Callable[[], Judge] = lambda: always


async def swap_lost(client: Client) -> None:
    """Its answer is lost, and somebody else has written the key since."""
    index = (await client.write("/key", SECRET)).modifiedIndex
    await client.write("/key", OTHER)
    await client.write("/key", SECRET, prevIndex=index)


def swap_cut(seen: Seen) -> Fate:
    return Fate.CUT_BEFORE if b"prevIndex" in seen.body else Fate.PASS


CASES = {
    "100": Case(
        lambda c: c.read("/no/key"), EtcdKeyNotFound, "GET /no/key", "Key not found (/no) [etcd 100]", "missing"
    ),
    "101": Case(
        lambda c: c.write("/key", SECRET, prevValue=OTHER),
        EtcdCompareFailed,
        "PUT /key",
        "Compare failed [etcd 101]",
        "read it again",
    ),
    "101 of a delete": Case(
        lambda c: c.delete("/key", prevValue=OTHER),
        EtcdCompareFailed,
        "DELETE /key",
        "Compare failed [etcd 101]",
        "read it again",
    ),
    "101, settled after the answer of a swap was lost": Case(
        swap_lost, EtcdCompareFailed, "PUT /key", "the answer was lost", "moved the key on", fate=lambda: swap_cut
    ),
    "102": Case(lambda c: c.write("/dir", SECRET), EtcdNotFile, "PUT /dir", "Not a file (/dir) [etcd 102]", "dir=True"),
    "104": Case(
        lambda c: c.write("/key/x", SECRET),
        EtcdNotDir,
        "PUT /key/x",
        "Not a directory (/key) [etcd 104]",
        "above the key",
    ),
    "105": Case(
        lambda c: c.write("/key", SECRET, prevExist=False),
        EtcdAlreadyExist,
        "PUT /key",
        "Key already exists (/key) [etcd 105]",
        "without prevExist=False",
    ),
    "107": Case(
        lambda c: c.write("/", SECRET), EtcdRootReadOnly, "PUT /", "Root is read only (/) [etcd 107]", "below it"
    ),
    "108": Case(
        lambda c: c.delete("/dir", dir=True),
        EtcdDirNotEmpty,
        "DELETE /dir",
        "Directory not empty (/dir) [etcd 108]",
        "recursive=True",
    ),
    "110": Case(
        lambda c: c.write("/key", SECRET),
        EtcdInsufficientPermissions,
        "PUT /key",
        "The request requires user authentication (Insufficient credentials) [etcd 110]",
        "look at the user",
        error("401 Unauthorized", 110, "The request requires user authentication", "Insufficient credentials"),
    ),
    "209": Case(
        lambda c: c.write("/key", SECRET),
        EtcdValueError,
        "PUT /key",
        "Invalid field (bad flag) [etcd 209]",
        "",
        error("400 Bad Request", 209, "Invalid field", "bad flag"),
    ),
    "300 of a write": Case(
        lambda c: c.write("/key", SECRET),
        EtcdUnconfirmed,
        "PUT /key",
        "Raft Internal Error (etcdserver: request timed out) [etcd 300]",
        "read with quorum before",
        NO_MAJORITY,
    ),
    "300 of a read": Case(
        lambda c: c.read("/key", quorum=True, timeout=TRIES),
        EtcdUnavailable,
        "GET /key",
        "Raft Internal Error (etcdserver: request timed out) [etcd 300]",
        "nothing was changed",
        NO_MAJORITY,
    ),
    "301": Case(
        lambda c: c.write("/key", SECRET),
        EtcdLeaderElectionInProgress,
        "PUT /key",
        "During Leader Election [etcd 301]",
        "ask again",
        error("500 Internal Server Error", 301, "During Leader Election"),
    ),
    "no leader": Case(
        lambda c: c.leader(),
        EtcdLeaderElectionInProgress,
        "GET /members/leader",
        "the cluster has no leader",
        "ask again",
        answering("503 Service Unavailable", '{"message":"During election"}'),
    ),
    "400": Case(
        lambda c: c.watch("/key"),
        EtcdWatcherCleared,
        "GET /key",
        "watcher is cleared due to etcd recovery [etcd 400]",
        "watch again",
        error("400 Bad Request", 400, "watcher is cleared due to etcd recovery"),
    ),
    "401": Case(
        lambda c: c.watch("/key", 1),
        EtcdEventIndexCleared,
        "GET /key",
        "The event in requested index is outdated and cleared (the requested history has been cleared",
        "read the keys anew",
    ),
    "an unknown code": Case(
        lambda c: c.write("/key", SECRET),
        EtcdRefused,
        "PUT /key",
        "New (thing) [etcd 499]",
        "",
        error("400 Bad", 499, "New", "thing"),
    ),
    "a watch in vain": Case(
        lambda c: c.watch("/key", timeout=2), EtcdWatchTimedOut, "GET /key", "no event within 2 s", ""
    ),
    "not etcd": Case(
        lambda c: c.read("/key"),
        EtcdProtocolError,
        "GET /key",
        "HTTP 200 with an answer that is not etcd's ('<html>')",
        "",
        answering("200 OK", "<html>"),
    ),
    "v2 switched off": Case(
        lambda c: c.read("/key"),
        EtcdProtocolError,
        "GET /key",
        "HTTP 404",
        "--enable-v2",
        answering("404 Not Found", "404 page not found"),
    ),
    "a broken gateway before a write": Case(
        lambda c: c.write("/key", SECRET),
        EtcdUnconfirmed,
        "PUT /key",
        "HTTP 502",
        "read with quorum before",
        answering("502 Bad Gateway", "<html>"),
    ),
    "a broken gateway before a read": Case(
        lambda c: c.read("/key", timeout=TRIES),
        EtcdUnavailable,
        "GET /key",
        "HTTP 502",
        "nothing was changed",
        answering("502 Bad Gateway", "<html>"),
    ),
    "a write whose answer was lost": Case(
        lambda c: c.write("/key", SECRET),
        EtcdUnconfirmed,
        "PUT /key",
        "the answer was lost (Server disconnected",
        "read with quorum before",
        fate=lambda: first("PUT", Fate.CUT_AFTER),
    ),
    "a delete whose answer was lost": Case(
        lambda c: c.delete("/key", prevValue=SECRET),
        EtcdUnconfirmed,
        "DELETE /key",
        "the answer was lost (Server disconnected",
        "read with quorum before",
        fate=lambda: first("DELETE", Fate.CUT_AFTER),
    ),
    "a write that nobody answered": Case(
        lambda c: c.write("/key", SECRET, timeout=2),
        EtcdUnconfirmed,
        "PUT /key",
        "no answer within 2 s",
        "read with quorum before",
        fate=lambda: first("PUT", Fate.STALL),
    ),
    "an answer that is no HTTP": Case(
        lambda c: c.delete("/key", prevValue=SECRET),
        EtcdUnconfirmed,
        "DELETE /key",
        "the answer was lost",
        "read with quorum before",
        lambda seen: b"SSH-2.0-OpenSSH_9.6\r\n\r\n" if seen.method == "DELETE" else None,
    ),
}


async def provoked(etcd: EtcdServer, case: Case) -> tuple[EtcdException, str]:
    """The error, and the endpoint that it must name."""
    async with Client(etcd.url) as client:
        await client.write("/key", SECRET)
        await client.write("/dir/key", SECRET)
        if case.kind is EtcdEventIndexCleared:
            await flush_history(client)
    async with (
        FaultProxy(etcd.url, answer=case.answer, judge=case.fate()) as proxy,
        Client(proxy.url, timeout=2, username="root", password=PASSWORD) as client,
    ):
        with pytest.raises(case.kind) as caught:
            await case.call(client)
        return caught.value, proxy.url


@pytest.mark.parametrize("name", CASES)
async def test_an_error_says_what_was_asked_of_whom_what_was_said_and_what_to_do(etcd: EtcdServer, name: str) -> None:
    case = CASES[name]
    error, endpoint = await provoked(etcd, case)
    assert type(error) is case.kind
    # What was settled by reading, any member may have told.
    place = "" if "settled" in name else f" at {endpoint}"
    assert str(error).startswith(f"{case.asked}{place}: ")
    assert case.said in str(error)
    assert case.hint in str(error)


@pytest.mark.parametrize("name", CASES)
async def test_neither_a_value_nor_a_password_is_in_an_error_its_traceback_or_a_log(
    etcd: EtcdServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error, _ = await provoked(etcd, CASES[name])
    told = "".join(traceback.format_exception(error)) + repr(error) + str(error) + error.message + caplog.text
    for secret in (SECRET, OTHER, PASSWORD, PROOF):
        assert secret not in told


async def test_a_call_to_dead_endpoints_names_the_last_one_and_what_became_of_it() -> None:
    async with Client(["http://127.0.0.1:1", "http://127.0.0.1:2"], timeout=TRIES) as client:
        with pytest.raises(EtcdUnavailable, match=r"PUT /key at http.*:[12]: no answer in time, \d+ tries") as caught:
            await client.write("/key", SECRET)
    assert "Connect call failed" in str(caught.value)
    assert "nothing was changed" in str(caught.value)


async def test_a_last_try_that_has_no_time_left_does_not_hide_what_the_one_before_it_met(etcd: EtcdServer) -> None:
    bad = answering("502 Bad Gateway", "<html>")
    async with FaultProxy(etcd.url, answer=bad) as proxy, Client(proxy.url, timeout=TRIES) as client:
        proxy.judge = lambda seen: Fate.PASS if seen.number == 1 else Fate.STALL
        with pytest.raises(EtcdUnavailable, match=r"no answer within 0\.\d+ s; before that: GET /key .*HTTP 502"):
            await client.read("/key")


async def test_a_delete_that_reaches_nobody_shows_no_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with silent_endpoint() as silent:
        async with Client(silent, connect_timeout=0.05, timeout=TRIES) as client:
            with pytest.raises(EtcdUnavailable, match="no connection came about in time") as caught:
                await client.delete("/key", prevValue=SECRET)
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + caplog.text


async def test_another_cluster_is_told_with_both_ids_and_what_to_mend(etcd: EtcdServer) -> None:
    async with Client(etcd.url, expected_cluster_id="123") as client:
        with pytest.raises(EtcdClusterIdChanged, match=r"PUT /key at http.* cluster \w+, not of 123.*mend") as caught:
            await client.write("/key", SECRET)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("start", ['{"action":"set","node":{"value":"', '{"a":"', '[{"'])
async def test_the_beginning_of_a_broken_answer_shows_no_value(etcd: EtcdServer, start: str) -> None:
    async with FaultProxy(etcd.url, answer=answering("200 OK", start + SECRET)) as proxy, Client(proxy.url) as client:
        with pytest.raises(EtcdUnconfirmed) as of_write:
            await client.write("/key", SECRET)
        with pytest.raises(EtcdProtocolError) as of_read:
            await client.read("/key")
    assert SECRET not in str(of_write.value) + str(of_read.value)


REFUSED: dict[str, Callable[[Client], Awaitable[object]]] = {
    "two conditions": lambda client: client.write("/key", SECRET, prevExist=False, prevIndex=1),
    "too large": lambda client: client.write("/key", SECRET * 1_000_000),
    "empty prevValue": lambda client: client.write("/key", SECRET, prevValue=""),
    "no UTF-8": lambda client: client.write("/key", SECRET + "\udcff"),
    "a list": lambda client: client.write("/key", [SECRET]),  # type: ignore[arg-type]  # that is the point
    "long prevValue": lambda client: client.delete("/key", prevValue=SECRET * 1000),
    "negative ttl": lambda client: client.write("/key", SECRET, ttl=-1),
    "refresh with a value": lambda client: client.write("/key", SECRET, refresh=True),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_call_that_is_refused_before_it_is_sent_shows_no_value(case: str) -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(UsageError) as caught:
            await REFUSED[case](client)
    assert SECRET not in str(caught.value) + repr(caught.value)


def test_the_repr_of_a_request_shows_no_value() -> None:
    shown = repr(requests.write("/v2/keys", "/key", SECRET, prevValue=OTHER))
    shown += repr(requests.delete("/v2/keys", "/key", prevValue=OTHER))
    assert not re.search(f"{SECRET}|{OTHER}", shown)


def test_a_password_in_a_url_is_refused_and_not_repeated_anywhere() -> None:
    with pytest.raises(UsageError) as caught:
        Client(f"http://user:{SECRET}@127.0.0.1:2379")
    assert SECRET not in str(caught.value) + repr(caught.value)
    with pytest.raises(UsageError) as caught:
        Client(f"user:{SECRET}@127.0.0.1")
    assert SECRET not in str(caught.value) + repr(caught.value)


def test_every_class_that_stands_for_a_code_is_provoked_here() -> None:
    assert set(_BY_CODE.values()) <= {case.kind for case in CASES.values()}
