"""What the mapper can't do without: requests, and what Pydantic takes. Its calls are measured as multiples of these.

They take the records for whole and valid, no keys but those of the model for there, and nobody else for at work.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders.bare_aiohttp import Tuned
from benchmarks.mapper.models import Fields
from etcdorm.v2 import Client
from etcdorm.v2.protocol.commit import APPLIED, COMMIT


async def list_all(http: Tuned, prefix: str) -> list[Fields]:
    """One request for all, its JSON parsed, and a model validated from the flat dict of each directory."""
    body = await http.fetch(f"{prefix}?recursive=true")
    return [validated(node, len(prefix) + 1) for node in body["node"]["nodes"]]


def validated(node: Any, start: int) -> Fields:
    """A model out of the JSON of its directory; its key is what follows in the path from ``start`` on."""
    key: str = node["key"]
    below = len(key) + 1
    values = {child["key"][below:]: child["value"] for child in node["nodes"]}
    values["name"] = key[start:]
    model: Fields = Fields.__pydantic_validator__.validate_python(values)  # lax: the values are texts
    return model


@dataclass
class BareSave:
    """A save by the client's calls alone: the commit record, the keys at once, and that they are applied."""

    client: Client
    path: str
    indexes: dict[str, int]
    commit: str
    applied: str

    @classmethod
    async def of(cls, client: Client, path: str) -> BareSave:
        """For a record that a session has saved; what was committed there last is the text of every commit."""
        keys = {leaf.key.removeprefix(f"{path}/"): leaf for leaf in (await client.read(path, recursive=True)).leaves}
        indexes = {name: leaf.modifiedIndex for name, leaf in keys.items()}
        return cls(client, path, indexes, keys[COMMIT].value or "", keys[APPLIED].value or "")

    async def save(self, texts: dict[str, str]) -> None:
        await self._swap(COMMIT, self.commit)
        if len(texts) == 1:
            (one,) = texts.items()
            await self._swap(*one)
        else:
            await asyncio.gather(*(self._swap(name, text) for name, text in texts.items()))
        await self._swap(APPLIED, self.applied)

    async def _swap(self, name: str, text: str) -> None:
        result = await self.client.write(f"{self.path}/{name}", text, prevIndex=self.indexes[name])
        self.indexes[name] = result.modifiedIndex
