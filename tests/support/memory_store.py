"""The store port in memory, for tests of what is built on it: in virtual time, and with faults at will.

::

    etcd = MemoryEtcd()
    a, b = MemoryStore(etcd), MemoryStore(etcd)    # two clients, as of two processes
    a.fail("touch", "lost")                        # its next touch happens, and the answer is lost
    a.fail("read", "slow", seconds=3)
    a.cut_off(); a.reconnect()                     # this client reaches nobody, the other one does
    etcd.stop(); etcd.start()                      # nobody reaches it
    etcd.clear_history(while_=...)                 # watches go on with what differs, as gap=True
    etcd.restore(etcd.backup()); etcd.restore()    # an older state; an empty one

It keeps the port's contract (tests/contract). Records are whole in it, so a save is one request; an append is two, as
on etcd v2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from etcdorm.errors import (
    DecodeError,
    EtcdormError,
    LeaseLapsedError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UnconfirmedError,
    UsageError,
)
from etcdorm.path import Path
from etcdorm.store import KEEP, Collection, Event, FencedRecord, Observation, Owns, Record, StaleRecord, Ttl
from tests.support.memory_etcd import RESERVED_FOR, Entry, MemoryEtcd, is_name
from tests.support.memory_watch import Changes, Line, Stepwise, Watch

T = TypeVar("T")

Verb = Literal["read", "scan", "create", "commit", "fence", "remove", "append", "fill", "sequence", "touch", "watch"]
"""The requests; "fill" is the second one of an append."""
How = Literal["unavailable", "dropped", "lost", "late", "slow"]
"""Nothing happened, and that is known; nothing happened, and it is not known; it happened, and it is not known; it is
not known, and happens after so many seconds; it takes so many seconds."""

_READS = ("read", "scan", "sequence", "watch")


@dataclass(slots=True)
class _Fault:
    verb: Verb
    how: How
    times: int
    seconds: float


class MemoryStore:
    """One client of a MemoryEtcd. ``latency`` is how many seconds each request takes."""

    def __init__(self, etcd: MemoryEtcd | None = None, *, timeout: float = 10.0, latency: float = 0.0) -> None:
        self.etcd = etcd or MemoryEtcd()
        self.latency = latency
        self.sent: list[tuple[float, Verb, Path]] = []
        """Each request: when, which, and of which record."""
        self._timeout = timeout
        self._faults: list[_Fault] = []
        self._refusals: list[EtcdormError] = []
        self._denied: list[Path] = []
        self._linked = asyncio.Event()
        self._linked.set()
        self._closed = False

    # -- faults -------------------------------------------------------------------------------------------------------

    def fail(self, verb: Verb, how: How, *, times: int = 1, seconds: float = 0.0) -> None:
        """Let the next requests of a kind end in this way."""
        self._faults.append(_Fault(verb, how, times, seconds))

    def cut_off(self) -> None:
        """Reach nobody: requests wait until the connection is back, or their time is out. Watches fall silent."""
        self._linked.clear()

    def reconnect(self) -> None:
        self._linked.set()
        self.etcd.wake()

    def deny(self, path: str) -> None:
        """Refuse all requests below a path, as for want of a right."""
        self._denied.append(Path.parse(path))

    def refuse(self, error: EtcdormError) -> None:
        """Let the next step of a watch that is open fail; the one after that goes on."""
        self._refusals.append(error)
        self.etcd.wake()

    def check(self) -> None:
        if self._refusals:
            raise self._refusals.pop(0)

    @property
    def connected(self) -> bool:
        return self._linked.is_set() and self.etcd.up.is_set()

    def count(self, verb: Verb) -> int:
        """How many requests of a kind were sent."""
        return sum(each == verb for _, each, _ in self.sent)

    # -- the port -----------------------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[str, ...]:
        return (f"memory://{self.etcd.name}",)

    @property
    def namespace(self) -> str:
        return ""

    async def origin(self) -> str:
        return self.etcd.name

    async def read(self, path: Path, *, fresh: bool = False, owns: Owns | None = None) -> Record | None:
        return await self._call("read", path, lambda: self.etcd.record(path))

    async def scan(
        self, collection: Collection, *, owns: Owns | None = None, after: Path | None = None
    ) -> Iterator[Record | DecodeError]:
        found = await self._call("scan", collection.prefix, lambda: list(self.etcd.records(collection)))
        return iter([record for record in found if after is None or record.path.segments > after.segments])

    async def create(
        self, path: Path, fields: Mapping[str, str], *, owns: Owns, ttl: int | None = None, token: int | None = None
    ) -> Record:
        _check_ttl(ttl)
        _check_shape(path, fields)

        def create() -> Record:
            entry = self.etcd.entry(path)
            if entry is not None and any(owns(name) for name in entry.fields):
                raise StaleRecord(self.etcd.record(path))
            left = {} if entry is None else entry.fields
            return self._record(path, self.etcd.put(path, {**left, **fields}, ttl=ttl, fence=token))

        return await self._call("create", path, create)

    async def commit(
        self, base: Record, changes: Mapping[str, str | None], *, ttl: Ttl = KEEP, token: int | None = None
    ) -> Record:
        if ttl is not KEEP:
            _check_ttl(ttl)
        if base.is_document and changes.get("", "") is None:
            raise UsageError(f"{base.path}: a document's only key can't be deleted by a change; remove the record")
        texts = {name: text for name, text in {**base.fields, **changes}.items() if text is not None}
        _check_shape(base.path, texts)

        def commit() -> Record:
            entry = self._current(base, token)
            entry.fence = max((each for each in (token, entry.fence) if each is not None), default=None)
            kept = {name: text for name, text in entry.fields.items() if name not in changes}
            self.etcd.change(
                base.path, entry, kept | {name: text for name, text in changes.items() if text is not None}
            )
            if ttl is not KEEP:
                self.etcd.set_ttl(base.path, entry, ttl)
            return self._record(base.path, entry)

        return await self._call("commit", base.path, commit)

    async def fence(self, base: Record, token: int) -> Record:
        def fence() -> Record:
            entry = self._current(base)
            entry.fence = token
            self.etcd.change(base.path, entry, entry.fields)
            return self._record(base.path, entry)

        return await self._call("fence", base.path, fence)

    async def remove(self, base: Record, *, owns: Owns, token: int | None = None, prune: bool = False) -> None:
        def remove() -> None:
            entry = self._current(base, token)
            left = {name: text for name, text in entry.fields.items() if not owns(name)}
            if left and not base.is_document:
                entry.living = False
                self.etcd.change(base.path, entry, left)
                self.etcd.set_ttl(base.path, entry, None)
            else:
                self.etcd.take(base.path)

        await self._call("remove", base.path, remove)

    async def append(self, directory: Path, text: str, *, ttl: int | None = None) -> Record:
        _check_ttl(ttl)

        def reserve() -> tuple[Path, Entry]:
            path = directory / f"{self.etcd.index + 1:020}"
            return path, self.etcd.put(path, {"": ""}, ttl=RESERVED_FOR, reserved=True)

        def fill(path: Path, place: Entry) -> Record | None:
            if self.etcd.entry(path) is not place or not place.reserved:
                return None
            self.etcd.set_ttl(path, place, ttl)
            self.etcd.change(path, place, {"": text})
            return self._record(path, place)

        while True:
            try:
                path, place = await self._call("append", directory, reserve)
            except UnconfirmedError:
                continue  # what it may have reserved evaporates
            record = await self._call("fill", path, partial(fill, path, place))
            if record is not None:
                return record

    async def sequence(self, collection: Collection, *, after: str = "", fresh: bool = False) -> list[Record]:
        self._check_after(after)

        def sequence() -> list[Record]:
            self._check_reached(after)
            return list(self.etcd.line(collection, after))

        return await self._call("sequence", collection.prefix, sequence)

    def follow(
        self, collection: Collection, *, after: str | None = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[Record]]:
        self._check_after(after)
        return Watch(self, collection.prefix, Line(self.etcd, collection, after))

    def check_name(self, name: str) -> None:
        if not is_name(name):
            raise UsageError(f"{name!r} has no place among the names that this store makes")

    async def touch(self, base: Record, *, ttl: int) -> Record:
        _check_ttl(ttl)
        if base.ttl is None:
            raise UsageError(f"{base.path} has no TTL to put off; give it one by saving it with ttl=")

        def touch() -> Record:
            entry = self.etcd.entry(base.path)
            if entry is None or not entry.living or entry.reserved or entry.created != base.created:
                raise LeaseLapsedError(f"{base.path}: its TTL ran out before this call could keep it")
            if entry.expires is None:
                raise UsageError(f"{base.path} has no TTL to put off any more")
            current = self._is_current(base, entry)
            index = self.etcd.tick()
            if entry.is_document:
                entry.version = entry.modified = index
            self.etcd.set_ttl(base.path, entry, ttl)
            touched = self._record(base.path, entry)
            return touched if current else base

        return await self._call("touch", base.path, touch)

    def watch(self, collection: Collection) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return Watch(self, collection.prefix, Changes(self.etcd, collection))

    def observe(self, collection: Collection) -> AbstractAsyncContextManager[Observation]:
        return Watch(self, collection.prefix, Stepwise(self.etcd, Changes(self.etcd, collection)))

    async def close(self) -> None:
        self._closed = True
        self.etcd.wake()

    @property
    def closed(self) -> bool:
        return self._closed

    async def enter(self, prefix: Path, effect: Callable[[], None]) -> None:
        """The request that a watch begins with."""
        await self._call("watch", prefix, effect)

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _call(self, verb: Verb, path: Path, effect: Callable[[], T]) -> T:
        """One request: it travels, takes effect, and its answer travels back."""
        loop = asyncio.get_running_loop()
        self.sent.append((loop.time(), verb, path))
        fault = self._fault(verb)
        seconds = self.latency + (fault.seconds if fault is not None and fault.how != "late" else 0.0)
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.sleep(seconds / 2)
                while not self.connected:  # both must be, at one moment
                    await self._linked.wait()
                    await self.etcd.up.wait()
        except TimeoutError:
            raise UnavailableError(f"{verb} {path}: no etcd answered within {self._timeout} s") from None
        if any(denied.contains(path) for denied in self._denied):
            raise RefusedError(f"{verb} {path}: no right to it")
        if fault is not None and fault.how != "slow":
            with suppress(StaleRecord, LeaseLapsedError):
                if fault.how == "lost":
                    effect()
                elif fault.how == "late":
                    loop.call_later(fault.seconds, _late, effect)
            await asyncio.sleep(seconds / 2)
            if fault.how == "unavailable" or verb in _READS:
                raise UnavailableError(f"{verb} {path}: no etcd answered")
            raise UnconfirmedError(f"{verb} {path}: the answer was lost")
        result = effect()
        await asyncio.sleep(seconds / 2)
        return result

    def _fault(self, verb: Verb) -> _Fault | None:
        for fault in self._faults:
            if fault.verb == verb:
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
                return fault
        return None

    def _record(self, path: Path, entry: Entry) -> Record:
        return self.etcd.as_record(path, entry)

    def _current(self, base: Record, token: int | None = None) -> Entry:
        """The entry, which must be as it was read.

        Raises: StaleRecord; FencedRecord; LeaseLapsedError.
        """
        entry = self.etcd.entry(base.path)
        if entry is None and base.ttl is not None and not base.is_document:
            raise LeaseLapsedError(f"{base.path}: its TTL ran out before this call could keep it")
        if entry is None or not self._is_current(base, entry):
            raise StaleRecord(self.etcd.record(base.path))
        if token is not None and token < (entry.fence or 0):
            raise FencedRecord(self.etcd.record(base.path))
        return entry

    def _is_current(self, base: Record, entry: Entry) -> bool:
        if not entry.living or entry.reserved or entry.created != base.created:
            return False
        if base.is_document:  # a touch moves its version too, and is nobody's conflict
            return (entry.fence, dict(entry.fields)) == (base.fence, dict(base.fields))
        return entry.version == base.version

    def _check_after(self, after: str | None) -> None:
        if after:
            self.check_name(after)

    def _check_reached(self, after: str) -> None:
        if after > f"{self.etcd.index:020}":
            raise NotFoundError(f"there is no place after {after}, as the store is only at index {self.etcd.index}")


def _late(effect: Callable[[], object]) -> None:
    with suppress(StaleRecord, LeaseLapsedError):
        effect()


def _check_ttl(ttl: int | None) -> None:
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int) or ttl < 1):
        raise UsageError(f"ttl must be whole seconds from 1 on, not {ttl!r}")


def _check_shape(path: Path, names: Iterable[str]) -> None:
    names = set(names)
    for name in names:
        parts = name.split("/")
        for above in ("/".join(parts[:length]) for length in range(1, len(parts))):
            if above in names:
                raise UsageError(f"{path}/{above} holds a value, so {path}/{name} can't be written below it")
