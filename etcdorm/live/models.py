"""The newest valid models of records, by key: what they become when records change. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from etcdorm.mapping import EtcdModel
from etcdorm.mapping.merge import edited
from etcdorm.path import Path

M = TypeVar("M", bound=EtcdModel)


class Models(Generic[M]):
    """``by_key`` has the newest valid model of each record; ``invalid``, by path, what is wrong with newer states."""

    def __init__(self, key_of: Callable[[Path], object]) -> None:
        self.by_key: dict[object, M] = {}
        self.invalid: dict[str, Exception] = {}
        self._key_of = key_of

    def apply(self, found: Mapping[Path, M | Exception | None], *, whole: bool = False) -> frozenset[object]:
        """Take what records have become (None: gone); the keys of those that now differ.

        ``whole`` tells that there are no others.
        """
        changed: set[object] = set()
        if whole:
            there = {self._key_of(path) for path in found}
            changed.update(self.by_key.keys() - there)
            for key in changed:
                del self.by_key[key]
            self.invalid.clear()
        for path, now in found.items():
            if isinstance(now, Exception):
                self.invalid[str(path)] = now
                continue
            self.invalid.pop(str(path), None)
            key = self._key_of(path)
            before = self.by_key.pop(key, None) if now is None else self.by_key.get(key)
            if now is not None:
                self.by_key[key] = now
            if now is None or before is None or edited(before, now):
                if now is not before:
                    changed.add(key)
        return frozenset(changed)
