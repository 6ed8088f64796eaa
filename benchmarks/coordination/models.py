"""The models that are watched and kept in tables: those of the mapper's benchmark, in either layout."""

from __future__ import annotations

from typing import Final, Literal

from benchmarks.mapper.models import Server, values

Layout = Literal["document", "directory"]


class InDirectory(Server, path="/bench/directories/{name}", layout="directory"):
    pass


class AsDocument(Server, path="/bench/documents/{name}", layout="document"):
    pass


KINDS: Final[dict[Layout, type[Server]]] = {"document": AsDocument, "directory": InDirectory}


def server(layout: Layout, number: int) -> Server:
    """One of many, each with other values."""
    return KINDS[layout].model_validate(values(number))
