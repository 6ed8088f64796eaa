"""A part of a store as a store of its own: whoever uses it sees the paths within the part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, overload

from etcdorm.errors import DecodeError, PathError, UsageError
from etcdorm.path import Path
from etcdorm.store.port import Observation, Store
from etcdorm.store.types import KEEP, Collection, Event, Owns, Record, StaleRecord, Step, Ttl

T = TypeVar("T")

_OURS = "_etcdorm"
"""Where sessions keep their locks, in each namespace and outside of them."""


class Namespaced:
    """All that lies below one path of another store, which it owns and closes.

    Every path that goes in or comes out is one within the namespace, those in the attributes of errors too. Texts are
    the other way round: a message or a log line names what lies in etcd, so that it can be found there.

    ``namespace`` is a path, as in ``/team-a``; nothing has to lie there yet.
    Raises: UsageError for a text that can't be one.
    """

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._prefix = _prefix(namespace)
        self.namespace: Final = f"{store.namespace}{self._prefix}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._store.endpoints

    async def origin(self) -> str:
        return await self._store.origin()

    async def read(self, path: Path, *, fresh: bool = False, owns: Owns | None = None) -> Record | None:
        with self._errors_within():
            return self._within(await self._store.read(self._real(path), fresh=fresh, owns=owns))

    async def scan(
        self, collection: Collection, *, owns: Owns | None = None, after: Path | None = None
    ) -> Iterator[Record | DecodeError]:
        start = None if after is None else self._real(after)
        found = await self._store.scan(self._real_collection(collection), owns=owns, after=start)
        return (self._error(each) if isinstance(each, DecodeError) else self._within(each) for each in found)

    async def create(
        self, path: Path, fields: Mapping[str, str], *, owns: Owns, ttl: int | None = None, token: int | None = None
    ) -> Record:
        with self._errors_within():
            return self._within(await self._store.create(self._real(path), fields, owns=owns, ttl=ttl, token=token))

    async def commit(
        self, base: Record, changes: Mapping[str, str | None], *, ttl: Ttl = KEEP, token: int | None = None
    ) -> Record:
        with self._errors_within():
            return self._within(await self._store.commit(self._real_record(base), changes, ttl=ttl, token=token))

    async def fence(self, base: Record, token: int) -> Record:
        with self._errors_within():
            return self._within(await self._store.fence(self._real_record(base), token))

    async def remove(self, base: Record, *, owns: Owns, token: int | None = None, prune: bool = False) -> None:
        with self._errors_within():
            await self._store.remove(self._real_record(base), owns=owns, token=token, prune=prune)

    async def append(self, directory: Path, text: str, *, ttl: int | None = None) -> Record:
        return self._within(await self._store.append(self._real(directory), text, ttl=ttl))

    async def sequence(self, collection: Collection, *, after: str = "", fresh: bool = False) -> list[Record]:
        found = await self._store.sequence(self._real_collection(collection), after=after, fresh=fresh)
        return [self._within(record) for record in found]

    def follow(
        self, collection: Collection, *, after: str | None = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        return _Within(self._store.follow(self._real_collection(collection), after=after), self._within)

    def check_name(self, name: str) -> None:
        self._store.check_name(name)

    async def touch(self, base: Record, *, ttl: int) -> Record:
        with self._errors_within():
            return self._within(await self._store.touch(self._real_record(base), ttl=ttl))

    def watch(self, collection: Collection) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return _Within(self._store.watch(self._real_collection(collection)), self._event)

    def observe(self, collection: Collection) -> AbstractAsyncContextManager[Observation]:
        return _Observed(self._store.observe(self._real_collection(collection)), self._step)

    async def close(self) -> None:
        await self._store.close()

    # -- on the way to the store ----------------------------------------------------------------------------------

    def _real(self, path: Path) -> Path:
        return Path((*self._prefix.segments, *path.segments))

    def _real_record(self, record: Record) -> Record:
        return replace(record, path=self._real(record.path), namespace=self._store.namespace)

    def _real_collection(self, collection: Collection) -> Collection:
        length = len(self._prefix.segments)

        def matches(path: Path) -> bool:
            return collection.matches(Path(path.segments[length:]))

        return Collection(self._real(collection.prefix), length + collection.depth, matches, collection.fixed)

    # -- and back -------------------------------------------------------------------------------------------------

    @overload
    def _within(self, record: Record) -> Record: ...

    @overload
    def _within(self, record: None) -> None: ...

    @overload
    def _within(self, record: Record | None) -> Record | None: ...

    def _within(self, record: Record | None) -> Record | None:
        if record is None:
            return None
        error = None if record.error is None else self._error(record.error)
        return replace(record, path=self._path(record.path), namespace=self.namespace, error=error)

    def _path(self, real: Path) -> Path:
        return Path(real.segments[len(self._prefix.segments) :])

    def _event(self, event: Event) -> Event:
        return replace(event, path=self._path(event.path), old=self._within(event.old), new=self._within(event.new))

    def _step(self, step: Step) -> Step:
        return Step(tuple(map(self._event, step.events)), step.index)

    def _error(self, error: DecodeError) -> DecodeError:
        """The same object: what it carries is within then, and its text as it was."""
        if error.namespace == self.namespace:
            return error  # a watch brings the same record twice: as new, and then as old
        prefix = str(self._prefix)
        error.path = error.path.removeprefix(prefix)
        error.failures = tuple(replace(each, key=each.key.removeprefix(prefix)) for each in error.failures)
        error.namespace = self.namespace
        return error

    @contextmanager
    def _errors_within(self) -> Iterator[None]:
        """Translate what an error of the store carries; its text stays."""
        try:
            yield
        except StaleRecord as stale:
            raise type(stale)(self._within(stale.current)) from None  # a FencedRecord stays one
        except DecodeError as error:
            self._error(error)
            raise


class _Within(Generic[T]):
    """What a watch brings, each as it is within the namespace. A cancelled ``anext`` loses nothing."""

    def __init__(self, watch: AbstractAsyncContextManager[AsyncIterator[T]], within: Callable[[T], T]) -> None:
        self._watch = watch
        self._within = within
        self._found: AsyncIterator[T] | None = None

    async def __aenter__(self) -> Self:
        self._found = await self._watch.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._watch.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        assert self._found is not None
        return self._within(await anext(self._found))


class _Observed:
    """What a store observes, each step as it is within the namespace. A cancelled ``anext`` loses nothing."""

    def __init__(self, observing: AbstractAsyncContextManager[Observation], within: Callable[[Step], Step]) -> None:
        self._observing = observing
        self._within = within
        self._found: Observation | None = None

    async def __aenter__(self) -> Self:
        self._found = await self._observing.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._observing.__aexit__(kind, error, traceback)

    @property
    def connected(self) -> bool:
        return self._found is not None and self._found.connected

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Step:
        assert self._found is not None
        return self._within(await anext(self._found))


def _prefix(namespace: str) -> Path:
    """Raises: UsageError."""
    given: object = namespace
    if not isinstance(given, str):
        raise UsageError(f"a namespace is a path, as '/team-a', not a {type(given).__name__}")
    try:
        path = Path.parse(namespace)
    except PathError as error:
        raise PathError(f"this can't be a namespace: {error}") from None
    if not path.segments:
        raise UsageError(
            "the namespace '/' is all of the cluster, as without any: leave it out, or name a path below it"
        )
    for segment in path.segments:
        if segment.startswith("@") or segment == _OURS:
            raise UsageError(
                f"the namespace {namespace!r} has a segment {segment!r}, which is kept for etcdorm's own keys"
            )
        if "{" in segment or "}" in segment:
            raise UsageError(f"the namespace {namespace!r} is one path, and {segment!r} looks like a field: fill it in")
    return path
