"""A TCP proxy before one etcd that counts the requests on the wire, and breaks things where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from etcdorm.embedded.probe import free_ports, hold_ports
from etcdorm.errors import UsageError

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived: ``number`` counts from 1 over all connections of the proxy."""

    number: int
    method: str
    target: str
    body: bytes
    connection: int


class Fate(Enum):
    """What becomes of a request."""

    PASS = auto()
    CUT_BEFORE = auto()
    """The connection is closed, and etcd never sees the request."""
    CUT_AFTER = auto()
    """etcd does what it was asked, and the connection is closed instead of the answer."""
    CUT_BODY = auto()
    """etcd does what it was asked; the answer's head and some of its body arrive, and the connection is closed."""
    STALL = auto()
    """Neither is the request passed on nor is the connection closed."""
    STALL_ANSWER = auto()
    """etcd does what it was asked; no answer comes, and the connection is not closed."""
    LATE = auto()
    """The connection is closed, and etcd sees the request when the test calls ``release``."""


Judge = Callable[[Seen], Fate]
"""Asked once for each request, when all of it has arrived."""


def always(seen: Seen) -> Fate:
    """Let every request pass."""
    return Fate.PASS


def only(number: int, fate: Fate) -> Judge:
    """Let the ``number``-th request meet ``fate``, and pass all others."""
    return lambda seen: fate if seen.number == number else Fate.PASS


def first(method: str, fate: Fate) -> Judge:
    """Let the first request of a method meet ``fate``, and pass all others."""
    met = False

    def judge(seen: Seen) -> Fate:
        nonlocal met
        if met or seen.method != method:
            return Fate.PASS
        met = True
        return fate

    return judge


class FaultProxy:
    """Stands before one etcd: ``async with FaultProxy(server.url) as proxy``, then connect to ``proxy.url``.

    ``judge`` says what becomes of each request, and can be set at any time. ``answer`` may give bytes to send back
    instead of etcd's answer, as something on the way to etcd would. ``delay`` is how many seconds a request is held
    back. ``seen`` has every request that arrived. It speaks plain HTTP/1.1; leaving the block closes every connection.
    """

    def __init__(
        self,
        url: str,
        *,
        judge: Judge = always,
        answer: Callable[[Seen], bytes | None] | None = None,
        delay: Callable[[Seen], float] | None = None,
    ) -> None:
        self.redirect(url)
        self.judge = judge
        self.answer = answer
        self.delay = delay
        self.seen: list[Seen] = []
        self._server: asyncio.Server | None = None
        self._port = 0
        self._held = ExitStack()
        self._connections: set[asyncio.Task[None]] = set()
        self._count = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._late: list[bytes] = []

    @property
    def url(self) -> str:
        if not self._port:
            raise UsageError("this FaultProxy is not started: async with FaultProxy(...) as proxy")
        return f"http://{_HOST}:{self._port}"

    def methods(self) -> list[str]:
        """The methods of the requests that arrived, in their order."""
        return [seen.method for seen in self.seen]

    def redirect(self, url: str) -> None:
        """Stand before another etcd from the next connection on.

        Raises: UsageError.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise UsageError(f"a fault proxy stands before an URL like http://127.0.0.1:2379, not {url!r}")
        self._upstream = (parts.hostname, parts.port)

    # -- what breaks without a request --------------------------------------------------------------------------------

    async def refuse(self) -> None:
        """Close every connection, and refuse new ones, until ``accept``."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def accept(self) -> None:
        """Listen again, on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, _HOST, self._port)

    async def cut(self) -> None:
        """Close every connection there is; new ones are taken."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections)

    def freeze(self) -> None:
        """Let no byte pass in either direction, and close nothing, until ``thaw``: a network that has fallen silent."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let everything pass that was held back, and what comes from now on."""
        self._flowing.set()

    async def release(self) -> int:
        """Send every request whose fate was LATE to etcd, in their order, and wait for its answers; how many."""
        late, self._late = self._late, []
        for request in late:
            reader, writer = await asyncio.open_connection(*self._upstream)
            try:
                writer.write(request)
                await _answer(reader)
            finally:
                writer.transport.abort()
        return len(late)

    # -- from start to end ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if not self._port:
            (self._port,) = free_ports(1)
        self._held = hold_ports(self._port)
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.refuse()
        self._held.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, so that the task is ours: asyncio would log an exception in one of its own.
        if self._server is None:  # it was on its way here when ``refuse`` was called
            writer.transport.abort()
            return
        self._count += 1
        task = asyncio.create_task(self._serve(reader, writer, self._count))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.transport.abort())  # also when it was cancelled before its first step

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        upstream: asyncio.StreamWriter | None = None
        backwards: asyncio.Task[None] | None = None
        answers = _Answers(writer, self._flowing)
        with suppress(OSError, EOFError):
            try:
                from_etcd, upstream = await asyncio.open_connection(*self._upstream)
                backwards = asyncio.create_task(answers.copy(from_etcd))
                while True:
                    head, body = await _request(reader)
                    await self._flowing.wait()
                    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                    seen = Seen(len(self.seen) + 1, method, target, body, number)
                    self.seen.append(seen)
                    answers.fate = fate = self.judge(seen)
                    if fate is Fate.LATE:
                        self._late.append(head + body)
                    if fate in (Fate.LATE, Fate.CUT_BEFORE):
                        return
                    if fate is Fate.STALL:
                        await asyncio.Event().wait()
                    if self.delay is not None:
                        await asyncio.sleep(self.delay(seen))
                    reply = self.answer(seen) if self.answer else None
                    if reply is not None:
                        writer.write(reply)
                        continue
                    upstream.write(head + body)
                    await upstream.drain()
                    if fate is not Fate.PASS:
                        await asyncio.wait([backwards])
                        return
            finally:
                # First of all, and without waiting: this task may be cancelled here too.
                for each in (upstream, writer):
                    if each is not None:
                        each.transport.abort()
                if backwards is not None:
                    backwards.cancel()
                    await asyncio.wait([backwards])


class _Answers:
    """What etcd sends back over one connection; ``fate`` is that of the request which it answers."""

    def __init__(self, sink: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        self._sink = sink
        self._flowing = flowing
        self.fate = Fate.PASS

    async def copy(self, source: asyncio.StreamReader) -> None:
        begun = False
        with suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                if self.fate is Fate.STALL_ANSWER:
                    continue
                if self.fate is Fate.CUT_AFTER:
                    break
                if self.fate is Fate.CUT_BODY:
                    _, _, body = data.partition(b"\r\n\r\n") if not begun else (b"", b"", data)
                    begun = True
                    self._sink.write(data[: len(data) - (len(body) + 1) // 2])
                    await self._sink.drain()
                    if body:
                        break
                    continue
                self._sink.write(data)
                await self._sink.drain()
        self._sink.close()


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(_length(head))


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(_length(head))


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    return 0
