"""Settings that are kept current while a process runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Generic, TypeVar

from pydantic_settings import BaseSettings

from etcdorm.errors import EtcdormError, UnavailableError, UsageError
from etcdorm.finish import end
from etcdorm.live.hub import Hub, Hubs
from etcdorm.live.inbox import Newest
from etcdorm.live.listeners import Listeners
from etcdorm.mapping.merge import differ, edited
from etcdorm.session import Session
from etcdorm.settings.assembly import Assembled, Assembly, Explanation, Fields
from etcdorm.settings.names import FieldPath
from etcdorm.settings.restart import Waiting, hold
from etcdorm.settings.source import EtcdSettingsSource
from etcdorm.store import Collection

_log = logging.getLogger("etcdorm.settings")

S = TypeVar("S", bound=BaseSettings)


@asynccontextmanager
async def live_settings(settings: type[S], session: Session | None = None) -> AsyncIterator[LiveSettings[S]]:
    """Settings that follow what is in etcd: ``async with live_settings(Settings) as live``, then ``live.value``.

    The class says in ``settings_customise_sources`` where they lie, and what counts for more; all sources are asked
    anew at each change in etcd. It connects as its EtcdSettingsSource does, or watches in a ``session`` of yours.
    Raises: UsageError for a class without a source in etcd; when the block is entered: UnavailableError, NotFoundError
        for a required record that there is not, DecodeError for settings that are not valid.
    """
    assembly = Assembly(settings)
    sources = assembly.etcd_sources()
    if not sources:
        raise UsageError(f"{settings.__name__} has no EtcdSettingsSource in its settings_customise_sources")
    async with AsyncExitStack() as stack:
        follower = _Follower()
        stack.push_async_callback(follower.leave)
        for source in sources:
            there = await stack.enter_async_context(source.connect()) if session is None else session
            await follower.join(there._hubs, source)
        live = LiveSettings(assembly, await _made(assembly, follower.fields))
        stack.push_async_callback(live._close)
        live._begin(follower)
        yield live


class LiveSettings(Generic[S]):
    """The newest valid settings; made by ``live_settings``."""

    def __init__(self, assembly: Assembly[S], first: Assembled[S]) -> None:
        self._assembly = assembly
        self._assembled = first
        self._value = first.settings
        self._waiting: tuple[Waiting, ...] = ()
        self._error: Exception | None = None
        self._name = type(first.settings).__name__
        self._moved = asyncio.Event()
        self._listeners = Listeners(self._name)
        self._touch: list[Callable[[], None]] = []
        self._follower: _Follower | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def value(self) -> S:
        """The newest valid settings; another object after each change, so whoever holds one sees no half of an edit."""
        return self._value

    @property
    def error(self) -> Exception | None:
        """Why the newest state is not taken: a DecodeError, or what a source raised. None when it is."""
        return self._error

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """The changes of fields with ``NeedsRestart``, which ``value`` does not show."""
        return self._waiting

    @property
    def stale(self) -> bool:
        """Whether etcd can't be reached at the moment, so that there may be newer settings."""
        return self._follower is None or not self._follower.connected

    def explain(self, name: str) -> Explanation:
        """Where the value of a field came from, as ``db.host``; of one that waits for a restart, the new value's.

        Raises: UsageError for what is no field.
        """
        found = self._assembled.explain(name)
        return Explanation(name, found.origins, FieldPath.parse(type(self._value), name).value_in(self._value))

    async def until(self, condition: Callable[[S], bool], *, timeout: float = 10.0) -> S:
        """Wait until a condition is true of the settings, and return them. It is looked at after each change and error.

        Units: ``timeout`` in seconds.
        Raises: UnavailableError when it is not in time.
        """
        try:
            async with asyncio.timeout(timeout):
                while not condition(self._value):
                    await self._moved.wait()
        except TimeoutError:
            raise UnavailableError(f"{self._name}: what is waited for did not come within {timeout} s") from None
        return self._value

    def on_change(
        self,
        callback: Callable[[S, S], Awaitable[object] | object],
        *,
        fields: str | Iterable[str] | None = None,
        debounce: float = 0.0,
    ) -> Callable[[], None]:
        """Call ``callback(old, new)`` after a change, for the time of the block; the function that is returned ends it.

        ``fields``, ``debounce`` and errors are as in ``Live.on_change``. A field that waits for a restart has not
        changed.
        Raises: UsageError for a field that there is not.
        """
        names = None if fields is None else (fields,) if isinstance(fields, str) else tuple(fields)
        for name in names or ():
            FieldPath.parse(type(self._value), name)
        old = self._value

        def call() -> Awaitable[object] | object:
            nonlocal old
            before, old = old, self._value
            return callback(before, old) if differ(before, old, names) else None

        listener = self._listeners.add(call, debounce)
        self._touch.append(listener.touch)

        def remove() -> None:
            if listener.touch in self._touch:
                self._touch.remove(listener.touch)
                self._listeners.remove(listener)

        return remove

    def _begin(self, follower: _Follower) -> None:
        self._follower = follower
        self._task = asyncio.create_task(self._follow(follower), name=f"etcdorm settings {self._name}")

    async def _close(self) -> None:
        try:
            await self._listeners.close()
        finally:
            if self._task is not None:
                await end(self._task)

    async def _follow(self, follower: _Follower) -> None:
        while True:
            try:
                await follower.changed()
            except StopAsyncIteration:
                return  # the session was closed
            try:
                assembled = await _made(self._assembly, follower.fields)
            except Exception as error:  # of any source that the class names
                self._error = error
                _log.warning("%s: what is in etcd now is not valid, and is not taken: %s", self._name, _why(error))
            else:
                self._error, self._assembled = None, assembled
                held, waiting = hold(self._value, assembled.settings)
                for each in waiting:
                    if each not in self._waiting:
                        _log.warning("%s: %s has changed, which takes effect at the next start", self._name, each.name)
                self._waiting = waiting
                if edited(self._value, held):
                    self._value = held
                    for touch in self._touch:
                        touch()
            self._moved.set()
            self._moved = asyncio.Event()


class _Follower:
    """The newest records of some sources. A cancelled ``changed`` loses nothing."""

    def __init__(self) -> None:
        self.fields: list[Fields] = []
        self._joined: list[tuple[Hubs, Hub, Newest]] = []

    @property
    def connected(self) -> bool:
        return all(hub.connected for _, hub, _ in self._joined)

    async def join(self, hubs: Hubs, source: EtcdSettingsSource) -> None:
        """Follow one more; it has its first reading then.

        Raises: what the store raises.
        """
        path = source.path
        inbox = Newest(Collection(path, len(path.segments), path.__eq__))
        self._joined.append((hubs, await hubs.join(inbox), inbox))
        self.fields.append(None)
        await self._take(len(self._joined) - 1)

    async def leave(self) -> None:
        while self._joined:
            hubs, hub, inbox = self._joined.pop()
            await hubs.leave(hub, inbox)

    async def changed(self) -> None:
        """Wait until any of the records is another one, and take it."""
        tasks = [asyncio.ensure_future(self._take(number)) for number in range(len(self._joined))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                await end(task)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _take(self, number: int) -> None:
        while True:
            try:
                batch = await self._joined[number][2].next()
            except EtcdormError as error:
                _log.warning("settings may be old: %s; trying on", error)
                continue
            for record in batch.records.values():
                self.fields[number] = None if record is None else record.fields
            return


async def _made(assembly: Assembly[S], fields: Sequence[Fields]) -> Assembled[S]:
    """Not in the loop's thread: a source may read files, or ask another service."""
    return await asyncio.to_thread(assembly.make, list(fields))


def _why(error: Exception) -> str:
    """What an error says, if it is one of ours: the texts of others may quote a secret."""
    return str(error) if isinstance(error, EtcdormError) else type(error).__name__
