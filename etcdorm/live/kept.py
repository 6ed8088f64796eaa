"""What a live value and a table have in common: a block in which they are kept current, and how far they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from etcdorm.errors import UsageError
from etcdorm.live.hub import Hubs
from etcdorm.live.lastgood import Keeper
from etcdorm.live.listeners import Listener, Listeners
from etcdorm.live.mirror import Mirror
from etcdorm.live.models import Models
from etcdorm.mapping import EtcdModel, Schema
from etcdorm.path import Path
from etcdorm.store import Collection

M = TypeVar("M", bound=EtcdModel)


class Kept(Generic[M]):
    """An async context manager; it can be entered once. What it has shown last can still be read after its block."""

    def __init__(
        self,
        hubs: Hubs,
        schema: Schema[M],
        collection: Collection,
        *,
        key_of: Callable[[Path], object],
        keeper: Keeper | None,
        timeout: float,
    ) -> None:
        self._mirror = Mirror(
            hubs, schema, collection, key_of=key_of, on_applied=self._applied, keeper=keeper, timeout=timeout
        )
        self._listeners = Listeners(self._mirror.name)
        self._told: dict[Listener, Callable[[frozenset[object]], None]] = {}

    async def __aenter__(self) -> Self:
        await self._mirror.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._listeners.close()
        finally:
            await self._mirror.stop()

    @property
    def ready(self) -> bool:
        """Whether etcd has told what there is; until then, it is what was in the last-good file."""
        return self._mirror.is_ready

    @property
    def stale(self) -> bool:
        """Whether what is shown may be old: etcd has not answered yet, or can't be reached now.

        A server that goes shows at once; a line that falls silent, after some ten seconds.
        """
        return self._mirror.is_stale

    @property
    def version(self) -> int:
        """The index of the store up to which all that happened is shown; 0 before etcd has answered."""
        return self._mirror.version

    async def wait_ready(self, *, timeout: float | None = None) -> None:
        """Wait until etcd has told what there is.

        Units: ``timeout`` in seconds; by default that of the session.
        Raises: UnavailableError when it has not, in that time.
        """
        await self._mirror.reach(0, timeout)

    async def reach(self, wanted: M | int, *, timeout: float | None = None) -> None:
        """Wait until what was saved is shown: an object, as it was saved or loaded last, or its ``etcd.version``.

        The version that a ``refresh`` gives to a document is no save, and may not be come to for ten seconds and more.
        Units: ``timeout`` in seconds; by default that of the session.
        Raises: UnavailableError when it is not come to in that time.
        """
        await self._mirror.reach(wanted, timeout)

    async def until(self, condition: Callable[[], bool], *, timeout: float | None = None) -> None:
        """Wait until ``condition()`` is true; it is called after each change, and now and then.

        Units: ``timeout`` in seconds; by default that of the session.
        Raises: UnavailableError when it is not, in that time; what ``condition`` raises.
        """
        await self._mirror.until(condition, timeout)

    def _models(self) -> Models[M]:
        if not self._mirror.was_entered:
            raise UsageError(f"{self._mirror.name}: it is entered first: async with session.live(...) as live")
        return self._mirror.models

    def _listen(
        self, call: Callable[[], Awaitable[object] | object], told: Callable[[frozenset[object]], None], debounce: float
    ) -> Callable[[], None]:
        """Have ``told`` told which keys differ, and ``call`` called some time later; the result ends it."""
        if not self._mirror.was_entered or self._mirror.has_ended:
            raise UsageError(f"{self._mirror.name}: on_change is called within the block")
        listener = self._listeners.add(call, debounce)
        self._told[listener] = told

        def stop() -> None:
            self._told.pop(listener, None)
            self._listeners.remove(listener)

        return stop

    def _applied(self, changed: frozenset[object]) -> None:
        if changed:
            for listener, told in list(self._told.items()):
                told(changed)
                listener.touch()
