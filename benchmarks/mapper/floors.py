"""What the mapper can't do without: requests, and what Pydantic takes. Its calls are measured as multiples of these.

They take the records for whole and valid, no keys but those of the model for there, and nobody else for at work.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.contenders.bare_aiohttp import Tuned
from benchmarks.mapper.models import Fields
from etcdorm.v2 import Client
from etcdorm.v2.protocol.commit import APPLIED, COMMIT, RESERVATION_TTL, Commit, reservation
from etcdorm.v2.result import Node


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
    """A save by the client's calls alone: the commit record, the keys at once, and that they are applied.

    ``texts`` are the keys, with what they hold already: it is the same to etcd, and other saves find it as it was.
    """

    client: Client
    path: str
    indexes: dict[str, int]
    texts: Mapping[str, str]
    commit: str
    applied: str

    @classmethod
    async def of_all(cls, client: Client, prefix: str, names: Iterable[str]) -> list[BareSave]:
        """For these keys of all records below ``prefix``, which sessions have saved."""
        listed = await client.read(prefix, recursive=True, timeout=60)
        return [cls._of(client, node, names) for node in listed.node["nodes"]]

    @classmethod
    def _of(cls, client: Client, record: Node, names: Iterable[str]) -> BareSave:
        path = record["key"]
        keys = {key["key"].removeprefix(f"{path}/"): key for key in record["nodes"]}
        indexes = {name: key["modifiedIndex"] for name, key in keys.items()}
        texts = {name: keys[name]["value"] for name in names}
        last = Commit.from_text(keys[COMMIT]["value"])
        return cls(client, path, indexes, texts, Commit(last.id, last.earlier, texts).text, last.id)

    @classmethod
    def of_none(cls, client: Client, path: str, texts: Mapping[str, str]) -> BareSave:
        """For a record that is to be made."""
        id = secrets.token_urlsafe(12)
        return cls(client, path, {}, texts, Commit(id, (), texts).text, id)

    async def create(self) -> None:
        """Make the record, in the steps of the commit protocol; two of them look at what is there."""
        await self._reserve(COMMIT)
        await self.client.read(self.path, recursive=True, quorum=True)
        await self._swap(COMMIT, self.commit)
        await asyncio.gather(*map(self._reserve, [*self.texts, APPLIED]))
        await self.client.read(self.path, recursive=True, quorum=True)
        await asyncio.gather(*(self._swap(name, text) for name, text in self.texts.items()))
        await self._swap(APPLIED, self.applied)

    async def save(self) -> None:
        await self._swap(COMMIT, self.commit)
        if len(self.texts) == 1:
            (one,) = self.texts.items()
            await self._swap(*one)
        else:
            await asyncio.gather(*(self._swap(name, text) for name, text in self.texts.items()))
        await self._swap(APPLIED, self.applied)

    async def _reserve(self, name: str) -> None:
        text = reservation(self.applied)
        result = await self.client.write(f"{self.path}/{name}", text, prevExist=False, ttl=RESERVATION_TTL)
        self.indexes[name] = result.modifiedIndex

    async def _swap(self, name: str, text: str) -> None:
        result = await self.client.write(f"{self.path}/{name}", text, prevIndex=self.indexes[name])
        self.indexes[name] = result.modifiedIndex
