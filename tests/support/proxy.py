"""A TCP proxy that counts the requests on the wire, and breaks connections where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


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
    HANG = auto()
    """Neither is the request passed on nor is the connection closed."""


Judge = Callable[[Seen], Fate]


def always(seen: Seen) -> Fate:
    return Fate.PASS


class Proxy:
    """Stands before one etcd: ``async with Proxy(etcd.url) as proxy``, then connect to ``proxy.url``.

    ``judge`` is asked once for each request, when all of it has arrived. ``answer`` may give bytes to send back instead
    of etcd's answer, as something on the way to etcd would. ``delay`` is how many seconds a request is held back.
    """

    def __init__(
        self,
        url: str,
        *,
        judge: Judge = always,
        answer: Callable[[Seen], bytes | None] | None = None,
        delay: Callable[[Seen], float] | None = None,
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._upstream = (parts.hostname, parts.port)
        self.judge = judge
        self.answer = answer
        self.delay = delay
        self.seen: list[Seen] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._count = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def methods(self) -> list[str]:
        return [seen.method for seen in self.seen]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, so that the task is ours: asyncio would log an exception in one of its own.
        self._count += 1
        task = asyncio.create_task(self._serve(reader, writer, self._count))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        host, port = self._upstream
        upstream: asyncio.StreamWriter | None = None
        backwards: asyncio.Task[None] | None = None
        doomed = asyncio.Event()
        with suppress(OSError, EOFError):
            try:
                from_etcd, upstream = await asyncio.open_connection(host, port)
                backwards = asyncio.create_task(_copy(from_etcd, writer, doomed))
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    body = await reader.readexactly(_length(head))
                    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                    seen = Seen(len(self.seen) + 1, method, target, body, connection)
                    self.seen.append(seen)
                    fate = self.judge(seen)
                    if fate is Fate.CUT_BEFORE:
                        return
                    if fate is Fate.HANG:
                        await asyncio.Event().wait()
                    if self.delay is not None:
                        await asyncio.sleep(self.delay(seen))
                    reply = self.answer(seen) if self.answer else None
                    if reply is not None:
                        writer.write(reply)
                        continue
                    if fate is Fate.CUT_AFTER:
                        doomed.set()
                    upstream.write(head + body)
                    await upstream.drain()
                    if fate is Fate.CUT_AFTER:
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


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
    """What etcd says goes back as it is, until the answer comes that must not arrive."""
    with suppress(OSError):
        while (data := await source.read(65536)) and not doomed.is_set():
            sink.write(data)
            await sink.drain()
    sink.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    return 0


def cut(number: int, fate: Fate) -> Judge:
    """Let the ``number``-th request meet ``fate``, and pass all others."""
    return lambda seen: fate if seen.number == number else Fate.PASS


def cut_first(method: str, fate: Fate) -> Judge:
    """Let the first request of a method meet ``fate``, and pass all others."""
    met = False

    def judge(seen: Seen) -> Fate:
        nonlocal met
        if met or seen.method != method:
            return Fate.PASS
        met = True
        return fate

    return judge
