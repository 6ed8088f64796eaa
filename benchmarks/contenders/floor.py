"""The floor: the least that Python can do over asyncio. It knows this job alone, and nothing that can go wrong.

Keys and values are taken for harmless in a URL and a form, every answer for one with a Content-Length, and there is
no deadline. So nobody can use it; but what a contender takes beyond it is what that contender's own work costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        at = buffer.index(b"Content-Length: ") + 16
        length = int(buffer[at : buffer.index(b"\r", at)])
        if len(buffer) >= end + 4 + length:
            self._buffer = b""
            self._answer.set_result(buffer[end + 4 :])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the floor lost its connection"))

    async def ask(self, request: bytes) -> Any:
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return from_json(await self._answer)


class Floor:
    def __init__(self) -> None:
        self._at = ("", 0)
        self._free: list[Connection] = []

    async def open(self, host: str, port: int) -> None:
        self._at = host, port

    async def close(self) -> None:
        for connection in self._free:
            assert connection.transport is not None
            connection.transport.close()

    async def read(self, key: str) -> str:
        value: str = (await self._ask(f"GET /v2/keys{key} HTTP/1.1\r\nHost: e\r\n\r\n"))["node"]["value"]
        return value

    async def write(self, key: str, value: str) -> int:
        return await self._put(key, f"value={value}")

    async def swap(self, key: str, value: str, index: int) -> int:
        return await self._put(key, f"value={value}&prevIndex={index}")

    async def _put(self, key: str, form: str) -> int:
        body = await self._ask(
            f"PUT /v2/keys{key} HTTP/1.1\r\nHost: e\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(form)}\r\n\r\n{form}"
        )
        index: int = body["node"]["modifiedIndex"]
        return index

    async def _ask(self, request: str) -> Any:
        if self._free:
            connection = self._free.pop()
        else:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, *self._at)
        answer = await connection.ask(request.encode())
        self._free.append(connection)
        return answer


class Lines(asyncio.Protocol):
    """A streamed watch; each line of the answer that is JSON is an event."""

    def __init__(self, key: str, events: int, began: Callable[[], None]) -> None:
        self._request = f"GET /v2/keys{key}?wait=true&stream=true HTTP/1.1\r\nHost: e\r\n\r\n".encode()
        self._left = events
        self._began: Callable[[], None] | None = began
        self._rest = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._began is not None:
            self._began()  # the headers come at once
            self._began = None
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                assert from_json(line)["node"]["value"]
                self._left -= 1
        if self._left <= 0 and not self.done.done():
            self.done.set_result(None)


class FloorWatch(Floor):
    async def follow(self, key: str, events: int, began: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        transport, lines = await loop.create_connection(lambda: Lines(key, events, began), *self._at)
        try:
            await lines.done
        finally:
            transport.close()
