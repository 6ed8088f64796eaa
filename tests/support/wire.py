"""etcd asked byte by byte: what a client library would mend, quote, follow or send again is sent here as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

FORM = "application/x-www-form-urlencoded"

PATIENCE = 30.0
"""Seconds. Long enough for a machine that is busy; nothing here waits for that long when all is well."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its status, its headers by their names in small letters, and its body without the chunks' frames."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def says(self) -> tuple[int, int | str]:
        """The status with etcd's error code, or with the action that was done."""
        return self.status, self.json.get("errorCode", self.json.get("action", ""))

    @property
    def node(self) -> dict[str, Any]:
        node: dict[str, Any] = self.json["node"]
        return node

    @property
    def index(self) -> int:
        return int(self.headers["x-etcd-index"])

    @property
    def keys(self) -> list[str]:
        """The keys of a listing, in its order."""
        return [node["key"] for node in self.node.get("nodes", ())]


class Raw:
    """Requests to one etcd, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._place = parts.hostname, parts.port

    async def ask(
        self, method: str, target: str, body: str | bytes | None = None, *, type: str | None = FORM, head: str = ""
    ) -> Reply:
        """Send a request and read its answer.

        Raises: OSError or EOFError when the connection ends before the answer does.
        """
        async with asyncio.timeout(PATIENCE), self._connected() as (reader, writer):
            writer.write(_request(method, target, body, type, head))
            return await _reply(reader, head_only=method == "HEAD")

    @asynccontextmanager
    async def asking(self, target: str) -> AsyncIterator[Callable[[], Awaitable[Reply]]]:
        """A GET that has been sent; what is called for its answer."""
        async with asyncio.timeout(PATIENCE), self._connected() as (reader, writer):
            writer.write(_request("GET", target, None, None, ""))
            yield lambda: _reply(reader)

    async def get(self, target: str) -> Reply:
        return await self.ask("GET", f"/v2/keys{target}")

    async def put(self, target: str, form: str | None = None) -> Reply:
        return await self.ask("PUT", f"/v2/keys{target}", form)

    async def post(self, target: str, form: str | None = None) -> Reply:
        return await self.ask("POST", f"/v2/keys{target}", form)

    async def delete(self, target: str) -> Reply:
        return await self.ask("DELETE", f"/v2/keys{target}")

    @asynccontextmanager
    async def waiting(self, target: str) -> AsyncIterator[Wait]:
        """A watch, once it is registered; its events are read line by line."""
        async with self._connected() as (reader, writer):
            writer.write(_request("GET", f"/v2/keys{target}", None, None, ""))
            async with asyncio.timeout(PATIENCE):
                status, headers = await _head(reader)
            assert status == 200
            yield Wait(int(headers["x-etcd-index"]), reader)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(*self._place, limit=1 << 22)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


class Wait:
    """A watch that is registered; ``index`` is where the store stood then."""

    def __init__(self, index: int, reader: asyncio.StreamReader) -> None:
        self.index = index
        self._reader = reader

    async def event(self) -> dict[str, Any] | None:
        """The next event, None at the end."""
        async with asyncio.timeout(PATIENCE):
            line = await _chunk(self._reader)
        return json.loads(line) if line else None

    async def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes for so long. Ask last: what has come in part is lost."""
        try:
            async with asyncio.timeout(seconds):
                await self._reader.readexactly(1)
        except TimeoutError:
            return True
        return False


def _request(method: str, target: str, body: str | bytes | None, type: str | None, head: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: etcd", "Connection: close"]
    content = body.encode() if isinstance(body, str) else body
    if content is not None:
        lines.append(f"Content-Length: {len(content)}")
        if type is not None:
            lines.append(f"Content-Type: {type}")
    if head:
        lines.append(head)
    return "\r\n".join([*lines, "", ""]).encode() + (content or b"")


async def _reply(reader: asyncio.StreamReader, *, head_only: bool = False) -> Reply:
    status, headers = await _head(reader)
    return Reply(status, headers, b"" if head_only else await _body(reader, headers))


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = (line.split(":", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value.strip() for name, value in headers}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while part := await _chunk(reader):
        parts.append(part)
    return b"".join(parts)


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2]
