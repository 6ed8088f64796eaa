"""HTTP to one endpoint, once. The only module that imports aiohttp; its errors end here.

Nothing is sent twice from here: aiohttp sends GET, PUT and DELETE again by itself when a kept-alive connection turns
out to be dead, and the middleware below takes the error from it before it can (design, "What the client promises").
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO

import aiohttp
from yarl import URL

from etcdorm.errors import UsageError

_LARGE = 1 << 19  # bytes
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}


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
        try:
            self.index = int(headers.get("X-Etcd-Index", 0))
            self.raft_index = int(headers.get("X-Raft-Index", 0))
        except ValueError as error:
            raise AnswerLost(f"its headers are not etcd's ({error})") from error
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


class Distrusted(NotSent):
    """The TLS handshake failed; trying again will not help."""


class AnswerLost(Exception):
    """The request may have been seen. ``index`` is the X-Etcd-Index of its headers, if those had arrived."""

    def __init__(self, reason: str, index: int | None = None, raft_index: int = 0) -> None:
        super().__init__(reason)
        self.index = index
        self.raft_index = raft_index


class WaitedInVain(AnswerLost):
    """A bounded wait: the headers came, and no event until the time was up."""


class Credentials:
    """A user's name and password as the header they are sent in; no repr and no error shows it."""

    __slots__ = ("header",)

    def __init__(self, username: str, password: str) -> None:
        self.header = "Basic " + b64encode(f"{username}:{password}".encode()).decode()

    def __repr__(self) -> str:
        return "<Credentials>"


class Transport:
    """A pool of connections, opened at the first request; it belongs to the loop that made that request.

    ``tls`` is for https endpoints, where None stands for the system's CAs. ``credentials`` are sent with every request.
    ``pool_size`` bounds the connections to each endpoint, those of waits and streams left out; None does not.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        tls: ssl.SSLContext | None = None,
        credentials: Credentials | None = None,
        pool_size: int | None = None,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._credentials = credentials
        self._pool_size = pool_size
        self._waiting: aiohttp.ClientSession | None = None
        self._session: aiohttp.ClientSession | None = None
        self._limits: set[asyncio.Timeout] = set()
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        *,
        timeout: float | None,
        waits: bool = False,
        wait: float | None = None,
        json: bool = False,
    ) -> Answer:
        """Send one request and read its answer. A ``body`` is a form, or JSON.

        Units: ``timeout`` in seconds for all of it; None waits for ever (for watches). With ``wait`` it is for the
            headers, and so many seconds follow for the body.
        Cancel: the request may have been seen; its connection is dropped.
        Raises: NotSent, AnswerLost, WaitedInVain; UsageError when the transport is closed.
        """
        session = self._open(waits)
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
                        data=BytesIO(body) if body is not None and len(body) > _LARGE else body,
                        headers=(_JSON if json else _FORM) if body is not None else None,
                        timeout=limits,
                        allow_redirects=False,
                    ) as response:
                        headers = response.headers
                        index = int(headers.get("X-Etcd-Index", 0))
                        raft_index = int(headers.get("X-Raft-Index", 0))
                        if wait is not None and not limit.expired() and not self._closed:
                            limit.reschedule(asyncio.get_running_loop().time() + wait)
                        text = await response.read()
                        return Answer(
                            response.status,
                            index,
                            raft_index,
                            headers.get("X-Etcd-Cluster-Id", ""),
                            text,
                        )
                finally:
                    self._limits.discard(limit)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _not_sent(error) from error
        except TimeoutError as error:
            if self._closed:
                raise AnswerLost("the client was closed meanwhile", index) from error
            if index is not None:
                waited = timeout if wait is None else wait
                raise WaitedInVain(f"no event within {waited} s", index, raft_index) from error
            raise AnswerLost(f"no answer within {timeout} s") from error
        except _RefusedByAlert as error:
            raise Distrusted(str(error)) from error
        except (aiohttp.ClientError, _Broken, OSError, ValueError) as error:
            raise AnswerLost(_words(error), index) from error

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[Streamed]:
        """Send a GET and hand out its answer while it comes; the connection is closed at the end of the block.

        Raises: NotSent, AnswerLost (also in the block, when the client is closed); UsageError.
        """
        session = self._open(waits=True)
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
            raise _not_sent(error) from error
        except TimeoutError as error:
            raise AnswerLost("the client was closed meanwhile" if self._closed else "no answer in time") from error
        except _RefusedByAlert as error:
            raise Distrusted(str(error)) from error
        except (aiohttp.ClientError, _Broken, OSError) as error:
            raise AnswerLost(_words(error)) from error

    def _open(self, waits: bool) -> aiohttp.ClientSession:
        if self._closed:
            raise UsageError("the client is closed; nothing was sent")
        if self._pool_size is None or not waits:
            if self._session is None:
                self._session = self._new_session(self._pool_size)
            return self._session
        # A wait holds its connection for long, and must not keep a write waiting for a free one.
        if self._waiting is None:
            self._waiting = self._new_session(None)
        return self._waiting

    def _new_session(self, pool_size: int | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=pool_size or 0, ssl=True if self._tls is None else self._tls
            ),
            headers=None if self._credentials is None else {"Authorization": self._credentials.header},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_never_again,),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections; requests under way end with AnswerLost."""
        self._closed = True
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(0)  # aiohttp would leave whoever reads a body waiting for ever
        for session in (self._session, self._waiting):
            if session is not None:
                await session.close()


class _Broken(Exception):
    """A connection that broke under a request, out of reach of aiohttp's own retry."""


class _RefusedByAlert(Exception):
    """The server ended a TLS 1.3 handshake after our side of it, so this came in place of an answer."""


async def _never_again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # aiohttp does not retry this one
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if "ALERT" in str(error) and "CERTIFICATE" in str(error).upper():
            raise _RefusedByAlert(_alert(str(error))) from error
        raise _Broken(_words(error)) from error


def _not_sent(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> NotSent:
    words = _words(error)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        hint = (
            "connect by a name that it is for"
            if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in _WRONG_NAME
            else "is its CA the one in ca_cert?"
        )
        return Distrusted(f"the certificate of {error.host}:{error.port} was not accepted: {_reason(cause)}; {hint}")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        if "WRONG_VERSION_NUMBER" in words or "RECORD_LAYER" in words.upper().replace(" ", "_"):
            return Distrusted(f"{error.host}:{error.port} does not speak TLS; is it an http endpoint? ({words})")
        if "ALERT" in words:
            return Distrusted(_alert(words))
        return Distrusted(words)
    return NotSent(words)


_WRONG_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def _alert(words: str) -> str:
    return f"the server did not accept this client's certificate, or wants one: give it as cert ({words})"


def _reason(error: Exception) -> str:
    return getattr(error, "verify_message", "") or str(error) or type(error).__name__


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer, as an https port does that is spoken to in http"
    if isinstance(error, aiohttp.ClientConnectorError) and not error.strerror:
        # A TLS handshake that failed has no system's words; without them aiohttp says "[None]".
        cause = error.os_error
        hint = "; if that port does not speak TLS, it is an http endpoint" if isinstance(cause, ConnectionError) else ""
        return f"no connection to {error.host}:{error.port}: {str(cause) or type(cause).__name__}{hint}"
    return str(error) or type(error).__name__
