"""A live value: the newest valid state of one record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Generic, Self, TypeVar

from etcdorm.errors import NotFoundError, UsageError
from etcdorm.live.hub import Hubs
from etcdorm.live.kept import Kept
from etcdorm.live.lastgood import Keeper
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.mapping.frozen import freeze
from etcdorm.mapping.merge import differ
from etcdorm.path import Path
from etcdorm.store import Collection

M = TypeVar("M", bound=EtcdModel)

OnValue = Callable[[M | None, M | None], Awaitable[object] | object]
"""Called with the value before, and the one that there is now; None where there is none."""

_KEY = ()


class Live(Kept[M]):
    """The newest valid value of one record, for the time of a block; see ``Session.live``.

    The values can't be changed, and each is one state of the record. ``async for value in live`` brings the value there
    is, then each newer one; only the newest, if several have come meanwhile.
    """

    def __init__(
        self, hubs: Hubs, schema: Schema[M], path: Path, *, default: M | None, keeper: Keeper | None, timeout: float
    ) -> None:
        if default is not None and not isinstance(default, schema.model):
            raise UsageError(f"default must be a {schema.name}, not a {type(default).__name__}")
        collection = Collection(path, len(path.segments), path.__eq__)
        super().__init__(hubs, schema, collection, key_of=lambda path: _KEY, keeper=keeper, timeout=timeout)
        self._path = path
        self._schema = schema
        self._default = None if default is None else freeze(default.model_copy(deep=True))

    @property
    def value(self) -> M:
        """The newest valid value; while there is none, the default.

        Raises: without a default, NotFoundError when there is no record, and what is in ``error`` when there is one.
        """
        found = self.get()
        if found is None:
            raise self.error or NotFoundError(
                f"{self._mirror.name}: there is no {self._schema.name}; wait for one (async for value in live), or "
                "give a default="
            )
        return found

    def get(self) -> M | None:
        """The newest valid value; while there is none, the default, or None."""
        return self._models().by_key.get(_KEY, self._default)

    @property
    def error(self) -> Exception | None:
        """Why the newest state of the record is not shown: a DecodeError, or what an after_load hook raised."""
        return self._models().invalid.get(str(self._path))

    def on_change(
        self, callback: OnValue[M], *, fields: str | Iterable[str] | None = None, debounce: float = 0.0
    ) -> Callable[[], None]:
        """Call ``callback(old, new)`` after a change, for the time of the block; the function that is returned ends it.

        With ``fields`` (``"port"``, ``"labels.env"``), only when one of these differs, or the record has come or gone.
        It is called when no change has come for ``debounce`` seconds, or after ten times as long at the latest, once
        for all that have come. It may be async; there is one call at a time. An error in it is logged.
        Cancel: leaving the block cancels a call that is under way.
        Raises: UsageError for a field that there is not.
        """
        wanted = None if fields is None else (fields,) if isinstance(fields, str) else tuple(fields)
        for name in wanted or ():
            if name.partition(".")[0] not in self._schema.model.model_fields:
                raise UsageError(f"{self._schema.name} has no field {name!r} to call back for")
        old = self.get()

        def call() -> Awaitable[object] | object:
            nonlocal old
            before, old = old, self.get()
            return callback(before, old) if differ(before, old, wanted) else None

        return self._listen(call, lambda changed: None, debounce)

    def __aiter__(self) -> AsyncIterator[M]:
        return _Values(self)

    async def _after(self, last: M | None) -> M:
        """The value there is, when it is another one than ``last``.

        Raises: StopAsyncIteration when the block was left.
        """
        while True:
            value = self.get()
            if value is not None and differ(last, value, None):
                return value
            if self._mirror.has_ended:
                raise StopAsyncIteration
            await self._mirror.moved()


class _Values(Generic[M]):
    """One iteration over the values of a live value. A cancelled ``anext`` loses nothing."""

    def __init__(self, live: Live[M]) -> None:
        self._live = live
        self._last: M | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        self._last = await self._live._after(self._last)
        return self._last
