"""The model that is listed, loaded and saved: ten fields beside its key, of the types that services keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final

from pydantic import BaseModel

from etcdorm import EtcdModel


class Region(Enum):
    EU = "eu-west-1"
    US = "us-east-1"


class Fields(BaseModel):
    """The model without etcdorm: what the floor validates."""

    name: str
    host: str
    port: int
    replicas: int
    weight: float
    enabled: bool
    region: Region
    started: datetime
    budget: Decimal
    image: str
    owner: str


class Server(EtcdModel, Fields):
    """Abstract; each of those below lies in a directory of its own."""


class Few(Server, path="/bench/mapper/few/{name}"):
    pass


class Many(Server, path="/bench/mapper/many/{name}"):
    pass


class One(Server, path="/bench/mapper/one/{name}"):
    pass


class New(Server, path="/bench/mapper/new/{name}"):
    pass


_BEGAN: Final = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)

NEWER: Final[Mapping[str, Callable[[int], object]]] = {
    "port": lambda turn: 1024 + turn,
    "weight": lambda turn: turn / 8,
    "image": lambda turn: f"registry.example/api:{turn}",
    "host": lambda turn: f"10.0.0.{turn}",
    "replicas": lambda turn: turn,
    "enabled": lambda turn: turn % 2 == 0,
    "region": lambda turn: Region.EU if turn % 2 else Region.US,
    "started": lambda turn: _BEGAN + timedelta(seconds=turn),
    "budget": lambda turn: Decimal(turn) / 100,
    "owner": lambda turn: f"team-{turn}",
}
"""A value for each field that is another one in each turn."""


def values(number: int) -> dict[str, object]:
    """The fields of one of many."""
    return {"name": f"server-{number:05}", **{name: value(number) for name, value in NEWER.items()}}


def made(kind: type[Server], number: int) -> Iterator[Server]:
    """So many models of a class."""
    return (kind.model_validate(values(each)) for each in range(number))


def change(model: Server, fields: int, turn: int) -> None:
    """Give so many fields another value than they have had the turn before."""
    for name, value in list(NEWER.items())[:fields]:
        setattr(model, name, value(turn))
