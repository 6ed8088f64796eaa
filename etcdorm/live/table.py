"""A table: all records of a model class, as a mapping that is kept current."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from types import MappingProxyType
from typing import TypeVar

from etcdorm.live.hub import Hubs
from etcdorm.live.kept import Kept
from etcdorm.live.lastgood import Keeper
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.path import Path
from etcdorm.store import Collection

M = TypeVar("M", bound=EtcdModel)

OnKeys = Callable[[frozenset[object]], Awaitable[object] | object]
"""Called with the keys of the records that have come, gone or changed."""


class Table(Kept[M], Mapping[object, M]):
    """The newest valid values of all records, by key, for the time of a block; see ``Session.table``.

    A key is the value of the class's key field, or a tuple of them, if there are several or none. The values can't be
    changed. Reading takes no request. What is iterated over is of one moment, whatever changes meanwhile.
    """

    def __init__(
        self, hubs: Hubs, schema: Schema[M], collection: Collection, *, keeper: Keeper | None, timeout: float
    ) -> None:
        def key_of(path: Path) -> object:
            values = schema.match(path)
            if values is None:
                return path  # no key of the class: what lies there can't be valid
            return next(iter(values.values())) if len(values) == 1 else tuple(values.values())

        super().__init__(hubs, schema, collection, key_of=key_of, keeper=keeper, timeout=timeout)

    def __getitem__(self, key: object) -> M:
        return self._models().by_key[key]

    def __iter__(self) -> Iterator[object]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._models().by_key)

    def __contains__(self, key: object) -> bool:
        return key in self._models().by_key

    def keys(self) -> KeysView[object]:
        return self._now().keys()

    def values(self) -> ValuesView[M]:
        return self._now().values()

    def items(self) -> ItemsView[object, M]:
        return self._now().items()

    def __repr__(self) -> str:
        return f"<Table of {self._mirror.name}, version {self.version}>"

    @property
    def invalid(self) -> Mapping[str, Exception]:
        """By path, why the newest states of records are not shown; the last valid one is, if there was one."""
        return MappingProxyType(self._models().invalid)

    def on_change(self, callback: OnKeys, *, debounce: float = 0.0) -> Callable[[], None]:
        """Call ``callback(keys)`` after changes, for the time of the block; the function that is returned ends it.

        It is called when no change has come for ``debounce`` seconds, or after ten times as long at the latest, once
        for all that have come. It may be async; there is one call at a time. An error in it is logged.
        Cancel: leaving the block cancels a call that is under way.
        """
        changed: set[object] = set()

        def call() -> Awaitable[object] | object:
            keys = frozenset(changed)
            changed.clear()
            return callback(keys)

        return self._listen(call, changed.update, debounce)

    def _now(self) -> dict[object, M]:
        return dict(self._models().by_key)
