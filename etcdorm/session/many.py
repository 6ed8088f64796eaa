"""Many calls at once: some under way at a time, and one result for each."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Generic, Self, TypeVar, overload

from pydantic import BaseModel

from etcdorm.errors import UnconfirmedError, UsageError

_log = logging.getLogger("etcdorm.session")

I = TypeVar("I")  # noqa: E741  the item that was given
I_co = TypeVar("I_co", covariant=True)
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)

OnProgress = Callable[[int, int | None], object]
"""Called with how many are done, and how many there are; None when that can't be known beforehand."""


@dataclass(frozen=True, slots=True)
class Done(Generic[I_co, V_co]):
    """One item, and the model that came of it."""

    item: I_co
    model: V_co


@dataclass(frozen=True, slots=True)
class Failed(Generic[I_co]):
    """One item, and the error that the call for it alone would have raised."""

    item: I_co
    error: Exception


class Results(Sequence[Done[I_co, V_co] | Failed[I_co]]):
    """What became of each item, in the order in which they were given.

    ``save_all`` and ``delete_all`` take models for items, and ``load_all`` keys; ``migrate`` has paths, and
    ``Migrated`` for models.
    """

    __slots__ = ("_all", "_verb")

    def __init__(self, results: Sequence[Done[I_co, V_co] | Failed[I_co]], verb: str) -> None:
        self._all = results
        self._verb = verb

    @property
    def models(self) -> list[V_co]:
        """The models of those that succeeded."""
        return [each.model for each in self._all if isinstance(each, Done)]

    @property
    def failed(self) -> list[Failed[I_co]]:
        return [each for each in self._all if isinstance(each, Failed)]

    def raise_for_errors(self) -> Self:
        """Return these results when all succeeded.

        Raises: ExceptionGroup of all errors, in order; what ``except*`` is for.
        """
        if failed := self.failed:
            text = f"{len(failed)} of {len(self)} could not be {self._verb}"
            raise ExceptionGroup(text, [each.error for each in failed])
        return self

    @overload
    def __getitem__(self, index: int) -> Done[I_co, V_co] | Failed[I_co]: ...

    @overload
    def __getitem__(self, index: slice) -> Results[I_co, V_co]: ...

    def __getitem__(self, index: int | slice) -> Done[I_co, V_co] | Failed[I_co] | Results[I_co, V_co]:
        return Results(self._all[index], self._verb) if isinstance(index, slice) else self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        failed = len(self.failed)
        return f"<Results: {len(self) - failed} {self._verb}, {failed} not>"


async def run(
    work: Callable[[I], Awaitable[V]],
    items: Iterable[I],
    verb: str,
    *,
    limit: int,
    on_progress: OnProgress | None,
) -> Results[I, V]:
    """Do ``work`` on each item, on ``limit`` of them at a time; an error of one ends none of the others.

    Items are taken one by one, when there is a place for them. An object that is given again waits until it is free.
    Cancel: ends what is under way.
    Raises: UsageError; what the iterable raises, after what is under way has ended.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise UsageError(f"limit must be a whole number from 1 on, not {limit!r}")
    if isinstance(items, str | bytes | BaseModel) or not isinstance(items, Iterable):
        raise UsageError(f"an iterable of what is to be {verb} is needed, not a {type(items).__name__}")
    if inspect.iscoroutinefunction(on_progress):
        raise UsageError("on_progress is called after each item and can't be async")
    total = len(items) if isinstance(items, Sized) else None
    pool = _Pool(work, items, _Progress(on_progress, total))
    async with asyncio.TaskGroup() as group:
        for _ in range(limit if total is None else min(limit, total)):
            group.create_task(pool.serve())
    if pool.broken is not None:
        raise pool.broken
    return Results([pool.results[index] for index in range(len(pool.results))], verb)


class _Pool(Generic[I, V]):
    """What the tasks share. Each takes the next item when it is through with one."""

    def __init__(self, work: Callable[[I], Awaitable[V]], items: Iterable[I], progress: _Progress) -> None:
        self._work = work
        self._items: Iterator[tuple[int, I]] = enumerate(items)
        self._progress = progress
        self._busy: dict[int, asyncio.Event] = {}
        self.results: dict[int, Done[I, V] | Failed[I]] = {}
        self.broken: BaseException | None = None
        """What the iterable raised."""

    async def serve(self) -> None:
        while self.broken is None:
            try:
                index, item = next(self._items)
            except StopIteration:
                return
            except (Exception, asyncio.CancelledError) as error:
                self.broken = error
                return
            self.results[index] = await self._one(item)
            self._progress.step()

    async def _one(self, item: I) -> Done[I, V] | Failed[I]:
        while (free := self._busy.get(id(item))) is not None:
            await free.wait()
        free = self._busy[id(item)] = asyncio.Event()
        try:
            return Done(item, await self._work(item))
        except asyncio.CancelledError as cancelled:
            if _is_ending():
                raise
            # A hook has let that of another task through; as one of its own it would end this worker without a word.
            error = UnconfirmedError("something that the call awaited was cancelled, though the call was not")
            error.__cause__ = cancelled
            return Failed(item, error)
        except Exception as error:
            return Failed(item, error)
        finally:
            del self._busy[id(item)]
            free.set()


class _Progress:
    def __init__(self, call: OnProgress | None, total: int | None) -> None:
        self._call = call
        self._total = total
        self._done = 0

    def step(self) -> None:
        self._done += 1
        if self._call is None:
            return
        try:
            self._call(self._done, self._total)
        except (Exception, asyncio.CancelledError):
            self._call = None
            _log.exception("on_progress raised an error and is not called again; the calls go on")


def _is_ending() -> bool:
    """Whether the running task itself was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
