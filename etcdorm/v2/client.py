"""The client of the v2 keys API: requests out, results or errors back; where and how often is decided here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self, cast

from pydantic_core import from_json

from etcdorm.errors import UsageError
from etcdorm.v2 import request as requests
from etcdorm.v2.endpoints import Endpoints
from etcdorm.v2.errors import (
    EtcdException,
    EtcdProtocolError,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EtcdWatchTimedOut,
    from_answer,
)
from etcdorm.v2.request import Request, Value
from etcdorm.v2.result import Body, EtcdResult, from_body
from etcdorm.v2.retry import GiveUp, after_failure
from etcdorm.v2.transport import Answer, AnswerLost, NotSent, Transport, WaitedInVain

_log = logging.getLogger("etcdorm.v2")


class Client:
    """A client of etcd's v2 API over one cluster.

    ``host`` is a host name, a URL, or a sequence of URLs or of (host, port) pairs, all of one cluster. Nothing is
    connected before the first call, and no running loop is needed to make one. ``timeout`` is the deadline of a call
    in seconds, over all endpoints and tries; a read with ``wait=True`` has none unless it names one.

    Reads never go back in time, whichever member answers: an answer that is older than one already seen is asked for
    again with ``quorum=true``. A write whose answer is lost is never sent again: it raises EtcdUnconfirmed.
    """

    def __init__(
        self,
        host: str | Sequence[str] | Sequence[tuple[str, int]] = "127.0.0.1",
        port: int = 4001,
        *,
        protocol: Literal["http", "https"] = "http",
        version_prefix: str = "/v2",
        timeout: float = 10.0,
        connect_timeout: float = 2.0,
    ) -> None:
        hosts = [host] if isinstance(host, str) else host
        self._endpoints = Endpoints(_url(item, port, protocol) for item in hosts)
        self._prefix = f"{version_prefix.rstrip('/')}/keys"
        self._timeout = timeout
        self._transport = Transport(connect_timeout=connect_timeout)
        self._seen = 0

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints' URLs; the one that is asked first comes first."""
        return self._endpoints.urls

    async def write(
        self,
        key: str,
        value: Value | None = None,
        ttl: int | None = None,
        dir: bool = False,
        append: bool = False,
        *,
        prevValue: Value | None = None,
        prevIndex: int | None = None,
        prevExist: bool | None = None,
        refresh: bool = False,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Write a key, a directory (``dir``), or a new in-order key under a directory (``append``).

        A write without ``ttl`` takes a TTL away that the key had. ``refresh`` moves the TTL alone and wakes no watcher.
        Units: ``ttl`` in whole seconds of the server's clock, ``timeout`` in seconds.
        Resend: never once it was sent.
        Cancel: the write may have happened, or may still happen.
        Raises: EtcdCompareFailed, EtcdAlreadyExist, EtcdKeyNotFound and others where a condition is not met;
            EtcdUnavailable when nothing was sent; EtcdUnconfirmed when the answer was lost; UsageError.
        """
        request = requests.write(
            self._prefix,
            key,
            value,
            ttl=ttl,
            dir=dir,
            append=append,
            prevValue=prevValue,
            prevIndex=prevIndex,
            prevExist=prevExist,
            refresh=refresh,
        )
        return await self._call(request, self._timeout if timeout is None else timeout)

    set = write

    async def read(
        self,
        key: str,
        *,
        recursive: bool = False,
        sorted: bool = False,
        quorum: bool = False,
        wait: bool = False,
        waitIndex: int | None = None,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Read a key or a directory, or wait for the next change of it (``wait``).

        A recursive read is one consistent moment of the whole tree. ``quorum`` asks the majority; without it the
        member that answers may be behind. ``waitIndex`` is the first index that counts; without it, from now.
        Resend: safe; a wait goes on from where it was registered.
        Raises: EtcdKeyNotFound; EtcdEventIndexCleared when ``waitIndex`` lies too far back; EtcdWatchTimedOut;
            EtcdUnavailable; UsageError.
        """
        request = requests.read(
            self._prefix, key, recursive=recursive, sorted=sorted, quorum=quorum, wait=wait, waitIndex=waitIndex
        )
        if wait:
            return await self._call(request, timeout)
        timeout = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        seen = self._seen
        failed: EtcdException | None = None
        try:
            result = await self._call(request, timeout)
        except EtcdRefused as error:
            if quorum or not 0 < error.index < seen:
                raise
            failed = error
        if failed is None and (quorum or result.etcd_index >= seen):
            return result
        _log.debug("GET %s: the answer is older than one seen before; asking with quorum", key)
        again = requests.read(self._prefix, key, recursive=recursive, sorted=sorted, quorum=True)
        return await self._call(again, deadline - time.monotonic())

    get = read

    async def delete(
        self,
        key: str,
        recursive: bool = False,
        dir: bool = False,
        *,
        prevValue: Value | None = None,
        prevIndex: int | None = None,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Delete a key, an empty directory (``dir``), or a directory with all that is in it (``recursive``).

        Resend: never once it was sent.
        Cancel: the delete may have happened, or may still happen.
        Raises: as ``write``; EtcdDirNotEmpty; EtcdNotFile for a directory without a flag, or with a condition.
        """
        request = requests.delete(
            self._prefix, key, recursive=recursive, dir=dir, prevValue=prevValue, prevIndex=prevIndex
        )
        return await self._call(request, self._timeout if timeout is None else timeout)

    async def refresh(
        self,
        key: str,
        ttl: int,
        *,
        prevValue: Value | None = None,
        prevIndex: int | None = None,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Move a key's TTL and nothing else; no watcher wakes. It does move modifiedIndex.

        Raises: EtcdKeyNotFound when the key has expired; else as ``write``.
        """
        return await self.write(key, ttl=ttl, prevValue=prevValue, prevIndex=prevIndex, refresh=True, timeout=timeout)

    async def close(self) -> None:
        """Close all connections; calls under way end with an error. May be called twice."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, request: Request, timeout: float | None) -> EtcdResult:
        """Send a request until it is answered, its time is up, or it must not be sent again."""
        deadline = None if timeout is None else time.monotonic() + timeout
        tries = 0
        while True:
            tries += 1
            now = time.monotonic()
            url = self._endpoints.best(now)
            words = f"{request.method} {request.key} at {url}"
            if deadline is not None and now >= deadline:
                raise EtcdUnavailable(f"{words}: the time was up before it was sent; nothing was changed")
            try:
                answer = await self._transport.send(
                    request.method, url + request.target, request.form, timeout=self._share(request, deadline)
                )
                result = self._understand(request, answer, words)
                self._endpoints.worked(url)
                return result
            except EtcdRefused:
                self._endpoints.worked(url)  # it answered
                raise
            except (NotSent, AnswerLost) as error:
                failure = error
            except EtcdUnavailable as error:  # a member that answers, but has no majority behind it
                failure = AnswerLost(str(error))
            now = time.monotonic()
            if isinstance(failure, WaitedInVain) and request.waits:
                raise EtcdWatchTimedOut(f"{words}: {failure}", index=failure.index or 0)
            self._endpoints.failed(url, now)
            others = len(self._endpoints.urls) - 1
            step = after_failure(failure, writes=request.writes, tries=tries, others=others, now=now, deadline=deadline)
            if isinstance(step, GiveUp):
                raise _gave_up(words, failure, unconfirmed=step.unconfirmed, tries=tries) from failure
            if isinstance(failure, AnswerLost) and failure.index and request.waits_from_now:
                request = request.waiting_from(failure.index + 1)
            _log.debug("%s: %s; again in %.2f s", words, failure, step.after)
            await asyncio.sleep(step.after)

    def _share(self, request: Request, deadline: float | None) -> float | None:
        """How long one try may take: a read leaves time for the other endpoints, a write gets all there is."""
        if deadline is None:
            return None
        left = max(0.0, deadline - time.monotonic())
        if request.writes or request.waits:
            return left
        return left if len(self._endpoints.urls) == 1 else left / 2

    def _understand(self, request: Request, answer: Answer, words: str) -> EtcdResult:
        try:
            body = from_json(answer.body)
        except ValueError:
            body = None
        if isinstance(body, dict):
            if answer.status in (200, 201) and "action" in body:
                self._seen = max(self._seen, answer.index)
                return from_body(
                    cast(Body, body),
                    etcd_index=answer.index,
                    raft_index=answer.raft_index,
                    new=answer.status == 201,
                )
            if answer.status >= 400 and ("errorCode" in body or "message" in body):
                self._seen = max(self._seen, answer.index)
                raise from_answer(
                    words,
                    code=int(body.get("errorCode", 0)),
                    message=str(body.get("message", "")),
                    cause=str(body.get("cause", "")),
                    index=answer.index,
                    writes=request.writes,
                )
        raise _not_v2(words, answer, request)


def _url(host: str | tuple[str, int], port: int, protocol: str) -> str:
    if isinstance(host, tuple):
        host, port = host
    if "://" in host:
        return host
    if "@" in host:
        raise UsageError("a host can't carry a user name or password, where it would end in logs")
    if ":" in host and not host.startswith("["):
        if host.count(":") == 1:
            raise UsageError(f"the host {host!r} names a port; give a URL (http://{host}), or host and port apart")
        host = f"[{host}]"
    return f"{protocol}://{host}:{port}"


def _gave_up(words: str, failure: Exception, *, unconfirmed: bool, tries: int) -> EtcdException:
    times = "" if tries == 1 else f", {tries} tries"
    if unconfirmed:
        return EtcdUnconfirmed(
            f"{words}: sent, and the answer was lost ({failure}); it may have happened, or may still happen: "
            "read with quorum before trying again"
        )
    return EtcdUnavailable(f"{words}: no answer in time{times} ({failure}); nothing was changed")


def _not_v2(words: str, answer: Answer, request: Request) -> EtcdException:
    start = answer.body[:60].decode(errors="replace").strip()
    if request.writes and (answer.status < 300 or answer.status >= 500):
        return EtcdUnconfirmed(f"{words}: HTTP {answer.status} with an answer that is not etcd's ({start!r})")
    if not request.writes and answer.status >= 500:
        return EtcdUnavailable(f"{words}: HTTP {answer.status} ({start!r})")
    hint = ""
    if answer.status == 404:
        hint = "; the v2 API is switched off or gone there: it needs etcd 3.3 to 3.5, started with --enable-v2"
    return EtcdProtocolError(f"{words}: HTTP {answer.status} with an answer that is not etcd's ({start!r}){hint}")
