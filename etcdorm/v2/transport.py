"""HTTP to one endpoint, once. The only module that imports aiohttp; its errors end here.

Nothing is sent twice from here: aiohttp sends GET, PUT and DELETE again by itself when a kept-alive connection turns
out to be dead, and the middleware below takes the error from it before it can (design, "What the client promises").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO

import aiohttp
from yarl import URL

from etcdorm.errors import UsageError

_LARGE = 1 << 19  # bytes
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer: its status, the three indexes of etcd's headers (0 where absent), and the whole body."""

    status: int
    index: int
    raft_index: int
    cluster_id: str
    body: bytes


class Streamed:
    """A streamed answer while it comes; the indexes are those of the moment when the member took the request."""

    __slots__ = ("_response", "cluster_id", "index", "raft_index", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        headers = response.headers
        self._response = response
        self.status = response.status
        self.index = int(headers.get("X-Etcd-Index", 0))
        self.raft_index = int(headers.get("X-Raft-Index", 0))
        self.cluster_id = headers.get("X-Etcd-Cluster-Id", "")

    async def read(self) -> bytes:
        """The bytes that have come since the last read, at least one; b"" at the end.

        Raises: AnswerLost.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise AnswerLost(_words(error), self.index) from error

    async def answer(self) -> Answer:
        """All of it, for an answer that is no stream but a refusal."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return Answer(self.status, self.index, self.raft_index, self.cluster_id, b"".join(parts))


class NotSent(Exception):
    """No connection came about; the endpoint has not seen the request."""


class AnswerLost(Exception):
    """The request may have been seen. ``index`` is the X-Etcd-Index of its headers, if those had arrived."""

    def __init__(self, reason: str, index: int | None = None, raft_index: int = 0) -> None:
        super().__init__(reason)
        self.index = index
        self.raft_index = raft_index


class WaitedInVain(AnswerLost):
    """A bounded wait: the headers came, and no event until the time was up."""


class Transport:
    """A pool of connections, opened at the first request; it belongs to the loop that made that request."""

    def __init__(self, *, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._closed = False

    async def send(
        self, method: str, url: str, form: bytes | None, *, timeout: float | None, wait: float | None = None
    ) -> Answer:
        """Send one request and read its answer.

        Units: ``timeout`` in seconds for all of it; None waits for ever (for watches). With ``wait`` it is for the
            headers, and so many seconds follow for the body.
        Cancel: the request may have been seen; its connection is dropped.
        Raises: NotSent, AnswerLost, WaitedInVain; UsageError when the transport is closed.
        """
        session = self._open()
        # Shorter than the whole: a connection that does not come about in time is then known for one, not for a
        # request whose answer was lost.
        connect = self._connect_timeout if timeout is None else min(self._connect_timeout, timeout / 2)
        limits = aiohttp.ClientTimeout(total=None, connect=connect)
        index: int | None = None
        raft_index = 0
        try:
            async with asyncio.timeout(timeout) as limit:
                self._limits.add(limit)
                try:
                    async with session.request(
                        method,
                        URL(url, encoded=True),
                        # aiohttp warns of large bytes, which it would send in one piece.
                        data=BytesIO(form) if form is not None and len(form) > _LARGE else form,
                        headers=_FORM if form is not None else None,
                        timeout=limits,
                        allow_redirects=False,
                    ) as response:
                        headers = response.headers
                        index = int(headers.get("X-Etcd-Index", 0))
                        raft_index = int(headers.get("X-Raft-Index", 0))
                        if wait is not None and not limit.expired() and not self._closed:
                            limit.reschedule(asyncio.get_running_loop().time() + wait)
                        body = await response.read()
                        return Answer(
                            response.status,
                            index,
                            raft_index,
                            headers.get("X-Etcd-Cluster-Id", ""),
                            body,
                        )
                finally:
                    self._limits.discard(limit)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_words(error)) from error
        except TimeoutError as error:
            if self._closed:
                raise AnswerLost("the client was closed meanwhile", index) from error
            if index is not None:
                waited = timeout if wait is None else wait
                raise WaitedInVain(f"no event within {waited} s", index, raft_index) from error
            raise AnswerLost(f"no answer within {timeout} s") from error
        except (aiohttp.ClientError, _Broken, OSError, ValueError) as error:
            raise AnswerLost(_words(error), index) from error

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[Streamed]:
        """Send a GET and hand out its answer while it comes; the connection is closed at the end of the block.

        Raises: NotSent, AnswerLost (also in the block, when the client is closed); UsageError.
        """
        session = self._open()
        limits = aiohttp.ClientTimeout(total=None, connect=self._connect_timeout)
        try:
            async with asyncio.timeout(None) as limit:  # `close` sets it
                self._limits.add(limit)
                try:
                    async with asyncio.timeout(self._connect_timeout * 2):  # the headers come at once
                        response = await session.get(URL(url, encoded=True), timeout=limits, allow_redirects=False)
                    try:
                        yield Streamed(response)
                    finally:
                        response.close()
                finally:
                    self._limits.discard(limit)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_words(error)) from error
        except TimeoutError as error:
            raise AnswerLost("the client was closed meanwhile" if self._closed else "no answer in time") from error
        except (aiohttp.ClientError, _Broken) as error:
            raise AnswerLost(_words(error)) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise UsageError("the client is closed; nothing was sent")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit: a watch holds its connection for long, and must not keep a write waiting for a free one.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_never_again,),
            )
        return self._session

    async def close(self) -> None:
        """Close all connections; requests under way end with AnswerLost."""
        self._closed = True
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(0)  # aiohttp would leave whoever reads a body waiting for ever
        if self._session is not None:
            await self._session.close()


class _Broken(Exception):
    """A connection that broke under a request, out of reach of aiohttp's own retry."""


async def _never_again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # aiohttp does not retry this one
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken(_words(error)) from error


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and not error.strerror:
        # A TLS handshake that failed has no system's words; without them aiohttp says "[None]".
        cause = error.os_error
        return f"no connection to {error.host}:{error.port}: {str(cause) or type(cause).__name__}"
    return str(error) or type(error).__name__
