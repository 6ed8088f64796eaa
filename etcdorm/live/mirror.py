"""The models of a collection, kept current by a task: what live values and tables look at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

from etcdorm import hooks
from etcdorm.errors import DecodeError, EtcdormError, UnavailableError, UsageError
from etcdorm.finish import end
from etcdorm.live.hub import Hub, Hubs
from etcdorm.live.inbox import Batch, Newest
from etcdorm.live.lastgood import Keeper
from etcdorm.live.models import Models
from etcdorm.mapping import EtcdModel, Schema, place_of, set_place
from etcdorm.mapping.frozen import freeze
from etcdorm.mapping.records import to_model
from etcdorm.path import Path
from etcdorm.store import Collection, Record, Version

_log = logging.getLogger("etcdorm.live")

M = TypeVar("M", bound=EtcdModel)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two tries to reach an etcd that is away."""

_LOOK = 0.5
"""Seconds between two looks at a condition: that etcd is away is no change, and nobody tells it."""

_TURN = 32
"""Records that are decoded before other tasks may run."""


class Mirror(Generic[M]):
    """The newest valid models of the records of a collection, frozen.

    They go all at once from one moment of the store, its index ``version``, to another; ``on_applied`` is called then,
    with the keys of those that differ.
    """

    def __init__(
        self,
        hubs: Hubs,
        schema: Schema[M],
        collection: Collection,
        *,
        key_of: Callable[[Path], object],
        on_applied: Callable[[frozenset[object]], None],
        keeper: Keeper | None,
        timeout: float,
    ) -> None:
        self.name: str = f"{hubs.namespace}{collection.prefix}"
        self.models: Models[M] = Models(key_of)
        self.version: int = 0
        self.is_ready: bool = False
        self.has_ended: bool = False
        self._hubs = hubs
        self._schema = schema
        self._collection = collection
        self._on_applied = on_applied
        self._keeper = keeper
        self._timeout = timeout
        self._hub: Hub | None = None
        self._error: BaseException | None = None
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.was_entered: bool = False

    @property
    def is_stale(self) -> bool:
        """Whether the models may be behind: etcd has not answered yet, or can't be reached now."""
        return not self.is_ready or self.has_ended or self._hub is None or not self._hub.connected

    # -- beginning and end ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin with what is in etcd; or, when it does not answer in time, with what is in the file.

        Raises: what the store raises, when there is no file to begin with; what a before_load hook raises.
        """
        if self.was_entered:
            raise UsageError(f"{self.name}: this was entered before; make another one")
        self.was_entered = True
        await hooks.before_load(self._schema, self._collection.prefix, namespace=self._hubs.namespace)
        # Always: where the newest state of a record in etcd is not valid, the one in the file is the last that was.
        saved = None if self._keeper is None else await self._take_file(self._keeper)
        self._task = asyncio.create_task(self._run(), name=f"etcdorm mirror {self.name}")
        self._task.add_done_callback(self._ended)
        try:
            if self._keeper is None or saved is None:
                await self._answered()
            elif not await self._answers_within(self._keeper.patience):
                _log.warning("%s: etcd does not answer; beginning with what was valid at %s", self.name, saved)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End, and write the file if it is not up to date."""
        self.has_ended = True
        try:
            if self._task is not None:
                await end(self._task)
        finally:
            self._move()
            if self._keeper is not None:
                await self._keeper.close()

    async def _answers_within(self, seconds: float) -> bool:
        """Whether there is a reading in time.

        Raises: what it failed with, but for an etcd that is away.
        """
        with suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(seconds):
                await self._answered()
        return self.is_ready

    async def _answered(self) -> None:
        """Wait for the first reading.

        Raises: what it failed with.
        """
        while not self.is_ready:
            if self._error is not None:
                raise self._error
            await self.moved()

    # -- waiting ----------------------------------------------------------------------------------------------------

    async def moved(self) -> None:
        """Wait until something is another, or this has ended."""
        if not self.has_ended:
            await self._moved.wait()

    async def reach(self, wanted: EtcdModel | int, timeout: float | None) -> None:
        """Wait until all that happened up to a version is shown.

        Raises: UnavailableError.
        """
        version = wanted if isinstance(wanted, int) else _version_of(wanted)
        await self._until(lambda: self.is_ready and self.version >= version, f"version {version}", timeout)

    async def until(self, condition: Callable[[], bool], timeout: float | None) -> None:
        """Wait until a condition is true, which is looked at after each change, and now and then.

        Raises: UnavailableError; what the condition raises.
        """
        await self._until(condition, "what is waited for", timeout)

    async def _until(self, condition: Callable[[], bool], what: str, timeout: float | None) -> None:
        seconds = self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if self.has_ended:
                        raise self._error or UnavailableError(f"{self.name}: its block was left, or the session closed")
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK):
                            await self.moved()
        except TimeoutError:
            now = f"it stands at version {self.version}" if self.is_ready else "etcd has not answered yet"
            raise UnavailableError(f"{self.name}: {what} was not come to within {seconds} s; {now}") from None

    # -- what the hub tells -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            inbox = Newest(self._collection)
            try:
                self._hub = hub = await self._hubs.join(inbox)
            except UsageError as error:
                self._error = error  # the session was closed
                return
            except EtcdormError as error:
                self._failed(error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                continue
            try:
                await self._follow(inbox)
            except StopAsyncIteration:
                return  # the session was closed
            finally:
                self._hub = None
                await self._hubs.leave(hub, inbox)

    async def _follow(self, inbox: Newest) -> None:
        """Take what comes."""
        is_whole = True
        while True:
            try:
                batch = await inbox.next()
            except EtcdormError as error:
                self._failed(error)
            else:
                await self._take(batch, is_whole=is_whole)
                is_whole = False

    def _failed(self, error: EtcdormError) -> None:
        _log.warning("%s: what is shown may be old: %s; trying on", self.name, error)
        self._error = error
        self._move()

    async def _take(self, batch: Batch, *, is_whole: bool) -> None:
        """Decode what is new, and then show it, all at once."""
        found = await self._decoded(batch.records)
        changed = self.models.apply(found, whole=is_whole)
        for path, model in found.items():
            if isinstance(model, Exception):
                _log.warning(
                    "%s: the newest state is not valid; the last valid one stays: %s", self._at(path), _why(model)
                )
        if self._keeper is not None:
            invalid = {path for path, model in found.items() if isinstance(model, Exception)}
            valid = {
                path: None if found[path] is None else record
                for path, record in batch.records.items()
                if path not in invalid
            }
            self._keeper.note(valid, invalid, whole=is_whole)
        self.version = batch.index
        self.is_ready = True
        self._error = None
        self._on_applied(changed)
        self._move()

    async def _take_file(self, keeper: Keeper) -> str | None:
        """Take what is in the file; returns when it was written, or None when it is nothing to begin with."""
        loaded = await keeper.load()
        if loaded is None:
            return None
        mine = {path: fields for path, fields in loaded.records.items() if self._is_mine(path)}
        found = await self._decoded(
            {
                path: Record(path, fields, Version(1), 0, 0, namespace=self._hubs.namespace)
                for path, fields in mine.items()
            },
            placed=False,
        )
        valid: dict[Path, M | Exception | None] = {}
        for path, model in found.items():
            if isinstance(model, Exception):
                why = _why(model)
                _log.warning("%s: what is in the last-good file is not valid any more: %s", self._at(path), why)
            else:
                valid[path] = model
        self.models.apply(valid, whole=True)
        return loaded.saved if valid or not found else None

    def _at(self, path: Path) -> str:
        return f"{self._hubs.namespace}{path}"

    def _is_mine(self, path: Path) -> bool:
        return self._collection.prefix.contains(path) and self._collection.matches(path)

    async def _decoded(
        self, records: Mapping[Path, Record | None], *, placed: bool = True
    ) -> dict[Path, M | Exception | None]:
        """The models, or why there is none; ``placed`` tells that the records are those in etcd."""
        found: dict[Path, M | Exception | None] = {}
        for number, (path, record) in enumerate(records.items(), 1):
            try:
                model = to_model(self._schema, record)
                if model is not None and not placed:
                    set_place(model, None)
                found[path] = None if model is None else freeze(await hooks.after_load(model))
            except Exception as error:  # what a hook raises is as good a reason as any
                found[path] = error
            if not number % _TURN:
                await asyncio.sleep(0)
        return found

    def _move(self) -> None:
        """Wake all who wait."""
        self._moved.set()
        self._moved = asyncio.Event()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whoever waits is not to wait for ever, if the task has failed by an error of ours."""
        self.has_ended = True
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            _log.error("%s: it is not kept current any more", self.name, exc_info=error)
        self._move()


def _version_of(model: EtcdModel) -> int:
    place = place_of(model)
    if place is None:
        raise UsageError(f"this {type(model).__name__} was never saved, or is deleted, so it has no version to come to")
    return place.modified_index  # which is not behind the version, and tells of other tools' edits too


def _why(error: Exception) -> str:
    """What is wrong, without the texts that are stored: they may be secret."""
    if isinstance(error, DecodeError):
        return "; ".join(f"{error.namespace}{each.key} (field {each.field}): {each.problem}" for each in error.failures)
    return f"its hook failed with {type(error).__name__}"
