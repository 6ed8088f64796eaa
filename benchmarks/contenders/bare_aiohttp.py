"""aiohttp alone: as most people would write it, and as fast as it gets for this job.

The tuned one does what was found to be cheaper: the form as bytes, the URL taken as it is, no context manager around
the answer, Pydantic's JSON parser. Its deadline is an ``asyncio.timeout``; the plain one has aiohttp's own. It takes
keys and values for harmless in a URL and a form, checks nothing and maps no errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from pydantic_core import from_json
from yarl import URL

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_NO_LIMITS = aiohttp.ClientTimeout()


class Aiohttp:
    """What the two share."""

    async def open(self, host: str, port: int) -> None:
        self.keys = f"http://{host}:{port}/v2/keys"
        self.session = aiohttp.ClientSession()

    async def close(self) -> None:
        await self.session.close()


class Plain(Aiohttp):
    async def read(self, key: str) -> str:
        async with self.session.get(self.keys + key) as response:
            value: str = (await response.json())["node"]["value"]
            return value

    async def write(self, key: str, value: str) -> int:
        return await self._put(key, {"value": value})

    async def swap(self, key: str, value: str, index: int) -> int:
        return await self._put(key, {"value": value, "prevIndex": str(index)})

    async def _put(self, key: str, form: dict[str, str]) -> int:
        async with self.session.put(self.keys + key, data=form) as response:
            index: int = (await response.json())["node"]["modifiedIndex"]
            return index


class Tuned(Aiohttp):
    async def read(self, key: str) -> str:
        value: str = (await self.fetch(key))["node"]["value"]
        return value

    async def fetch(self, key: str) -> Any:
        """All that a GET of a key answers; the key may be followed by a query."""
        return await self._ask("GET", key, None)

    async def write(self, key: str, value: str) -> int:
        return await self._put(key, f"value={value}")

    async def swap(self, key: str, value: str, index: int) -> int:
        return await self._put(key, f"value={value}&prevIndex={index}")

    async def _put(self, key: str, form: str) -> int:
        index: int = (await self._ask("PUT", key, form.encode()))["node"]["modifiedIndex"]
        return index

    async def _ask(self, method: str, key: str, form: bytes | None) -> Any:
        async with asyncio.timeout(10):
            response = await self.session.request(
                method,
                URL(self.keys + key, encoded=True),
                data=form,
                headers=None if form is None else _FORM,
                timeout=_NO_LIMITS,
            )
            return from_json(await response.read(), cache_strings="keys")


class Stream(Aiohttp):
    """A streamed watch: a line, its JSON, and on."""

    async def follow(self, key: str, events: int, began: Callable[[], None]) -> None:
        async with self.session.get(f"{self.keys}{key}?wait=true&stream=true", timeout=_NO_LIMITS) as response:
            began()
            for _ in range(events):
                assert json.loads(await response.content.readline())["node"]["value"]
