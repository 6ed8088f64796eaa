"""HTTP to one endpoint, once. The only module that imports aiohttp; its errors end here.

Nothing is sent twice from here: aiohttp sends GET, PUT and DELETE again by itself when a kept-alive connection turns
out to be dead, and the middleware below takes the error from it before it can (design, "What the client promises").
"""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
from multidict import istr
from yarl import URL

from etcdorm.errors import UsageError
from etcdorm.v2.credentials import Secret
from etcdorm.v2.deadlines import Deadlines
from etcdorm.v2.tls import explain, is_refusal, is_refused_certificate

_LARGE = 1 << 19  # bytes

Content = Literal["form", "json"]
_TYPES: dict[Content, str] = {"form": "application/x-www-form-urlencoded", "json": "application/json"}
_INDEX, _RAFT_INDEX, _CLUSTER_ID = istr("X-Etcd-Index"), istr("X-Raft-Index"), istr("X-Etcd-Cluster-Id")


@dataclass(slots=True)  # not frozen: there is one for each call, and that would make it three times as expensive
class Answer:
    """One HTTP answer: its status, the three indexes of etcd's headers (0 where absent), and the whole body."""

    status: int
    index: int
    raft_index: int
    cluster_id: str
    body: bytes = field(repr=False)  # it holds values


class Streamed:
    """A streamed answer while it comes; the indexes are those of the moment when the member took the request."""

    __slots__ = ("_response", "cluster_id", "index", "raft_index", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        headers = response.headers
        self._response = response
        self.status = response.status
        try:
            self.index = int(headers.get(_INDEX, 0))
            self.raft_index = int(headers.get(_RAFT_INDEX, 0))
        except ValueError as error:
            raise AnswerLost(f"its headers are not etcd's ({error})") from error
        self.cluster_id = headers.get(_CLUSTER_ID, "")

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


class NoConnection(NotSent):
    """None came about in the time there was."""


class TlsFailed(NotSent):
    """The two sides don't agree on TLS, nor will they the next time: a certificate is refused, or there is no TLS."""


class CutInHandshake(NotSent):
    """The other side closed the connection when TLS began, as one does that expects plain HTTP."""


class Busy(NotSent):
    """All connections that may be used were busy until the time was up; nothing is wrong with the endpoint."""


class AnswerLost(Exception):
    """The request may have been seen. ``index`` is the X-Etcd-Index of its headers, if those had arrived."""

    def __init__(self, reason: str, index: int | None = None, raft_index: int = 0) -> None:
        super().__init__(reason)
        self.index = index
        self.raft_index = raft_index


class NoAnswer(AnswerLost):
    """None came in the time there was."""


class HungUp(AnswerLost):
    """The other side closed the connection without a word, as one does that expects TLS."""


class WaitedInVain(AnswerLost):
    """A bounded wait: the headers came, and no event until the time was up."""


class Transport:
    """A pool of connections, opened at the first request; it belongs to the loop that made that request.

    ``authorization`` goes with every request. ``pool_size`` bounds the requests that are under way at one endpoint,
    and so the connections they need; waits are not counted, since they hold theirs for long.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        tls: ssl.SSLContext | None = None,
        authorization: Secret | None = None,
        pool_size: int | None = None,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._tls = tls
        proof: dict[str, str] = {} if authorization is None else {"Authorization": authorization}
        self._bare = proof or None
        self._headers: dict[Content, dict[str, str]] = {
            kind: {**proof, "Content-Type": words} for kind, words in _TYPES.items()
        }
        self._pool_size = pool_size
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(pool_size or 1))
        self._session: aiohttp.ClientSession | None = None
        self._limits = aiohttp.ClientTimeout(connect=connect_timeout)
        self._deadlines = Deadlines()
        self._closed = False

    def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        *,
        timeout: float | None,
        content: Content = "form",
        waits: bool = False,
        wait: float | None = None,
    ) -> Awaitable[Answer]:
        """Send one request and read its answer.

        Units: ``timeout`` in seconds for all of it; None waits for ever (for watches). With ``wait`` it is for the
            headers, and so many seconds follow for the body.
        Cancel: the request may have been seen; its connection is dropped.
        Raises: NotSent, TlsFailed, Busy, AnswerLost, HungUp, WaitedInVain; UsageError when the transport is closed.
        """
        if self._pool_size is None or waits:
            return self._send(method, url, body, timeout, content, wait)
        return self._send_in_turn(method, url, body, timeout, content)

    async def _send_in_turn(
        self, method: str, url: str, body: bytes | None, timeout: float | None, content: Content
    ) -> Answer:
        begin = time.monotonic()
        async with self._slot(url, timeout):
            if timeout is not None:
                timeout -= time.monotonic() - begin
            return await self._send(method, url, body, timeout, content, None)

    @asynccontextmanager
    async def _slot(self, url: str, timeout: float | None) -> AsyncIterator[None]:
        """A turn among the requests of this endpoint."""
        parts = urlsplit(url)
        slots = self._slots[f"{parts.scheme}://{parts.netloc}"]
        try:
            async with asyncio.timeout(timeout):
                await slots.acquire()
        except TimeoutError:
            raise Busy(
                f"each of its {self._pool_size} connections was busy for {timeout:.1f} s; see per_host_pool_size"
            ) from None
        try:
            yield
        finally:
            slots.release()

    async def _send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        timeout: float | None,
        content: Content,
        wait: float | None,
    ) -> Answer:
        session = self._open()
        # Shorter than the whole: a connection that does not come about in time is then known for one, not for a
        # request whose answer was lost.
        limits = self._limits
        if timeout is not None and timeout / 2 < self._connect_timeout:
            limits = aiohttp.ClientTimeout(connect=timeout / 2)
        index: int | None = None
        raft_index = 0
        try:
            with self._deadlines.within(timeout) as deadline:
                # No context manager: it costs more than the `try` below, and `read` cleans up after itself.
                response = await session.request(
                    method,
                    _url(url),
                    # aiohttp warns of large bytes, which it would send in one piece.
                    data=BytesIO(body) if body is not None and len(body) > _LARGE else body,
                    headers=self._bare if body is None else self._headers[content],
                    timeout=limits,
                    allow_redirects=False,
                )
                try:
                    headers = response.headers
                    index = int(headers.get(_INDEX, 0))
                    raft_index = int(headers.get(_RAFT_INDEX, 0))
                    cluster_id = headers.get(_CLUSTER_ID, "")
                except ValueError:
                    response.close()
                    raise
                if wait is not None:
                    deadline.move(wait)
                stream = response.content
                # Most bodies come with the headers; then there is nothing to wait for, nor to clean up.
                text = stream.read_nowait() if stream.is_eof() else await response.read()
                return Answer(response.status, index, raft_index, cluster_id, text)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _not_sent(error, url) from _shown(error)
        except _TlsAlert as error:
            raise TlsFailed(f"no TLS with {URL(url).authority}: {error}") from error
        except _HungUp as error:
            raise HungUp(str(error), index) from error
        except TimeoutError as error:
            if self._closed:
                raise AnswerLost("the client was closed meanwhile", index) from error
            if index is not None:
                waited = timeout if wait is None else wait
                raise WaitedInVain(f"no event within {waited:.3g} s", index, raft_index) from error
            raise NoAnswer(f"no answer within {timeout:.3g} s") from error
        except (aiohttp.ClientError, _Broken, OSError, ValueError) as error:
            raise AnswerLost(_words(error), index) from _shown(error)

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[Streamed]:
        """Send a GET and hand out its answer while it comes; the connection is closed at the end of the block.

        Raises: NotSent, TlsFailed, AnswerLost (also in the block, when the client is closed); UsageError.
        """
        session = self._open()
        try:
            with self._deadlines.within(None):  # `close` ends it
                with self._deadlines.within(self._connect_timeout * 2):  # the headers come at once
                    response = await session.get(
                        _url(url), headers=self._bare, timeout=self._limits, allow_redirects=False
                    )
                try:
                    yield Streamed(response)
                finally:
                    response.close()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _not_sent(error, url) from _shown(error)
        except _TlsAlert as error:
            raise TlsFailed(f"no TLS with {URL(url).authority}: {error}") from error
        except TimeoutError as error:
            raise AnswerLost("the client was closed meanwhile" if self._closed else "no answer in time") from error
        except (aiohttp.ClientError, _Broken, OSError) as error:
            raise AnswerLost(_words(error)) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise UsageError("the client is closed; nothing was sent")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit: a watch holds its connection for long, and must not keep a write waiting for a free one.
                connector=aiohttp.TCPConnector(limit=0, ssl=True if self._tls is None else self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_never_again,),
            )
        return self._session

    async def close(self) -> None:
        """Close all connections; requests under way end with AnswerLost."""
        self._closed = True
        self._deadlines.end_all()  # aiohttp would leave whoever reads a body waiting for ever
        if self._session is not None:
            await self._session.close()


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    """A URL, which has no fragment; yarl would split the text again, and keeps but a few."""
    scheme, _, rest = text.partition("://")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    return URL.build(scheme=scheme, authority=authority, path=slash + path, query_string=query, encoded=True)


class _Broken(Exception):
    """A connection that broke under a request, out of reach of aiohttp's own retry."""


class _HungUp(_Broken):
    """One that was closed by the other side."""


class _TlsAlert(Exception):
    """One that was never accepted: the server refused the client's certificate."""


async def _never_again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # aiohttp does not retry this one
    except aiohttp.ServerDisconnectedError as error:
        raise _HungUp(_words(error)) from error
    except aiohttp.ClientOSError as error:
        refused = _tls_error(error)
        if refused is not None and is_refused_certificate(refused):
            raise _TlsAlert(explain(refused)) from error
        raise _Broken(_words(error)) from error


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """The TLS error that aiohttp's error stands for, if one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__
    return cause


def _not_sent(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError, url: str) -> NotSent:
    if isinstance(error, aiohttp.ClientConnectorError):
        # Not the error itself: aiohttp's for a certificate is an SSLError too, without what OpenSSL said.
        cause = error.os_error
        if isinstance(cause, ssl.SSLError) and is_refusal(cause):
            return TlsFailed(f"no TLS with {error.host}:{error.port}: {explain(cause)}")
        cut = isinstance(cause, ssl.SSLError | ConnectionError) and cause.errno != errno.ECONNREFUSED
        if cut and url.startswith("https:"):
            return CutInHandshake(_words(error))
        return NotSent(_words(error))
    return NoConnection("no connection came about in time")


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and not error.strerror:
        # A TLS handshake that failed has no system's words; without them aiohttp says "[None]".
        cause = error.os_error
        return f"no connection to {error.host}:{error.port}: {str(cause) or type(cause).__name__}"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is no HTTP that can be read"
    return str(error) or type(error).__name__


def _shown(error: Exception) -> Exception | None:
    """What a traceback may show: not an error that repeats the URL, where a condition holds a value, or the headers."""
    repeats = (aiohttp.ConnectionTimeoutError, aiohttp.ClientResponseError, aiohttp.InvalidURL)
    return None if isinstance(error, repeats) else error
