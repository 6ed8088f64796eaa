"""Who takes part, and who can't because something is not installed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from benchmarks.contenders.port import Blocking, Contender, Watcher

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """Where a contender is; its module is imported by :func:`find` alone, as it may need what is not installed."""

    name: str
    module: str
    attribute: str

    def load(self) -> type[T]:
        """Raises: ImportError."""
        kind: type[T] = getattr(importlib.import_module(f"benchmarks.contenders.{self.module}"), self.attribute)
        return kind


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The contenders that are there, by name, and why others are not."""

    there: dict[str, type[T]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


FLOOR = "floor"
OURS = "etcdorm.v2"
TUNED = "aiohttp, tuned"
STREAM = "aiohttp, stream=true"

CALLERS: tuple[Entry[Contender | Blocking], ...] = (
    Entry(FLOOR, "floor", "Floor"),
    Entry(TUNED, "bare_aiohttp", "Tuned"),
    Entry("aiohttp, plain", "bare_aiohttp", "Plain"),
    Entry(OURS, "etcdorm_v2", "Etcdorm"),
    Entry("python-aio-etcd", "python_aio_etcd", "PythonAioEtcd"),
    Entry("python-etcd", "python_etcd", "PythonEtcd"),
    Entry("k3etcd", "k3", "K3etcd"),
)

WATCHERS: tuple[Entry[Watcher], ...] = (
    Entry(FLOOR, "floor", "FloorWatch"),
    Entry(STREAM, "bare_aiohttp", "Stream"),
    Entry(f"{OURS}, async with", "etcdorm_v2", "Streamed"),
    Entry(f"{OURS}, long polls", "etcdorm_v2", "Polled"),
    Entry("python-aio-etcd", "python_aio_etcd", "Watch"),
)


def find(entries: Sequence[Entry[T]]) -> Found[T]:
    found: Found[T] = Found()
    for entry in entries:
        try:
            found.there[entry.name] = entry.load()
        except ImportError as error:
            found.missing[entry.name] = f"{error} (python3 dev.py bench installs it)"
    return found
