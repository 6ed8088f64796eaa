"""What lies between the members of a cluster: each is reached by its peers through a port here, which can be closed.

It runs on an event loop of its own, in a thread of its own, since a cluster may be used without asyncio.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from etcdorm.embedded.command import HOST

_CHUNK = 65536
# Who asks: etcd's raft traffic tells the URL that the sender itself is reached at.
_SENDER = re.compile(rb"\r\nX-PeerURLs: *https?://[^:\r\n]*:(\d+)", re.IGNORECASE)


@dataclass(eq=False)
class _Link:
    """One connection; ``source`` is the advertised port of the member that opened it, None while it is not known."""

    destination: int
    source: int | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Network:
    """``ports`` maps the port that a member advertises to its peers to the port that it listens on."""

    def __init__(self, ports: Mapping[int, int]) -> None:
        self._ports = dict(ports)
        self._isolated: frozenset[int] = frozenset()
        self._links: set[_Link] = set()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="etcdorm cluster network", daemon=True)

    def start(self) -> None:
        """Open the ports.

        Raises: OSError when one of them is taken; nothing is left open then.
        """
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self.stop()
            raise

    def isolate(self, ports: frozenset[int]) -> None:
        """Let nothing pass to and from the members that advertise these ports, and everything between the others."""
        asyncio.run_coroutine_threadsafe(self._isolate(ports), self._loop).result()

    def stop(self) -> None:
        """Close everything. It always ends, and may be called twice."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        for advertised in self._ports:
            self._servers.append(await asyncio.start_server(self._acceptor(advertised), HOST, advertised))

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._cut(self._links)

    async def _isolate(self, ports: frozenset[int]) -> None:
        self._isolated = ports
        # Those of an unknown source too: they may be the isolated member's, and be used for more later.
        await self._cut({link for link in self._links if ports and not self._may_pass(link)})

    async def _cut(self, links: set[_Link]) -> None:
        tasks = [link.task for link in links if link.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _may_pass(self, link: _Link) -> bool:
        if not self._isolated:
            return True
        return link.source is not None and not self._isolated & {link.source, link.destination}

    def _acceptor(self, destination: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # A plain function, so that the task is ours: asyncio would log an exception in one of its own.
            link = _Link(destination)
            self._links.add(link)
            link.task = asyncio.create_task(self._serve(link, reader, writer))
            link.task.add_done_callback(lambda task: self._links.discard(link))

        return accept

    async def _serve(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        backwards: asyncio.Task[None] | None = None
        with suppress(OSError, EOFError, asyncio.LimitOverrunError):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                if sender := _SENDER.search(head):
                    link.source = int(sender[1])
                if not self._may_pass(link):
                    return
                answers, upstream = await asyncio.open_connection(HOST, self._ports[link.destination])
                upstream.write(head)
                backwards = asyncio.create_task(_copy(answers, writer))
                forwards = asyncio.create_task(_copy(reader, upstream))
                try:
                    await asyncio.wait((backwards, forwards), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    backwards.cancel()
                    forwards.cancel()
                    await asyncio.wait((backwards, forwards))
            finally:
                for each in (upstream, writer):
                    if each is not None:
                        each.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
