"""Run as a script: writes documents past any session, at a steady rate, as many other processes would.

``writing.py URL DIRECTORY DOCUMENTS RATE SECONDS`` puts ``{"port": N}`` with N = 0, 1, 2, ... into DIRECTORY/d0,
DIRECTORY/d1, ... in turns, and prints how many it has written, and in how many seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

WRITERS = 8
"""Connections, each with one request at a time. A document is always written by the same one, so in order."""


class Writer:
    """One connection of keep-alive PUTs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    async def put(self, key: str, value: str) -> None:
        body = f"value={value}".encode()
        head = (
            f"PUT /v2/keys{key} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if answer[9:11] != b"20":
            raise RuntimeError(answer.decode())
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(int(length.partition(b":")[2]))


async def main(url: str, directory: str, documents: int, rate: float, seconds: float) -> None:
    parts = urlsplit(url)
    began = time.monotonic()
    total = int(rate * seconds)

    async def write(number: int) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        one = Writer(reader, writer, parts.netloc)
        for port in range(total):
            document = port % documents
            if document % WRITERS == number:
                await asyncio.sleep(max(0.0, began + port / rate - time.monotonic()))
                await one.put(f"{directory}/d{document}", f"%7B%22port%22%3A{port}%7D")
        writer.close()

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    print(total, round(time.monotonic() - began, 1), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
