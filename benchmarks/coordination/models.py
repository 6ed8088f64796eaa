"""The models that are watched and kept in tables: ten fields beside the key, of the types that services keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final, Literal

from etcdorm import EtcdModel

Layout = Literal["document", "directory"]


class Region(Enum):
    EU = "eu-west-1"
    US = "us-east-1"


class Server(EtcdModel):
    """Abstract; those of each layout lie in a directory of their own."""

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


class InDirectory(Server, path="/bench/directories/{name}", layout="directory"):
    pass


class AsDocument(Server, path="/bench/documents/{name}", layout="document"):
    pass


KINDS: Final[dict[Layout, type[Server]]] = {"document": AsDocument, "directory": InDirectory}

_BEGAN: Final = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)


def server(layout: Layout, number: int) -> Server:
    """One of many, each with other values."""
    return KINDS[layout](
        name=f"server-{number:05}",
        host=f"10.0.{number // 256}.{number % 256}",
        port=1024 + number,
        replicas=number,
        weight=number / 8,
        enabled=number % 2 == 0,
        region=Region.EU if number % 2 else Region.US,
        started=_BEGAN + timedelta(seconds=number),
        budget=Decimal(number) / 100,
        image=f"registry.example/api:{number}",
        owner=f"team-{number}",
    )
