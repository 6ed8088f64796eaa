"""The session's calls, each with what it can't do without for its floor."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from itertools import count, cycle

from benchmarks.contenders.bare_aiohttp import Tuned
from benchmarks.mapper.floors import BareSave, list_all
from benchmarks.mapper.goals import Goal, Work
from benchmarks.mapper.models import NEWER, Few, Many, New, One, Server, change, values
from benchmarks.pairs import Slice
from benchmarks.workload import lasting
from etcdorm import Session
from etcdorm.mapping import schema_of
from etcdorm.v2 import Client

CHANGED = (1, 3, 10)
"""How many fields a save changes."""

AT_ONCE = 32
"""How many saves ``save_all`` has under way, unless it is told otherwise."""


def listing(session: Session, http: Tuned, models: int) -> dict[Goal, Work]:
    """Listing so many models, and ten times as many."""

    def work(kind: type[Server], number: int) -> Work:
        prefix = directory(kind)
        return Work(
            floor=lambda: once(list_all(http, prefix), number),
            own=lambda: once(session.list(kind), number),
        )

    kinds: Mapping[type[Server], int] = {Few: models, Many: 10 * models}
    return {Goal(f"list, {number} models", 1.6): work(kind, number) for kind, number in kinds.items()}


async def loading(session: Session, client: Client, seconds: float) -> dict[Goal, Work]:
    """Loading one model, beside the client's read of its directory."""
    await session.save(One.model_validate({**values(0), "name": "loaded"}))
    path = One.key("loaded")
    work = Work(
        floor=lambda: repeated(lambda: client.read(path, recursive=True), seconds),
        own=lambda: repeated(lambda: session.load(One, "loaded"), seconds),
    )
    return {Goal("load", 1.3): work}


def saving(session: Session, client: Client, seconds: float) -> dict[Goal, Work]:
    """Saving so many changed fields of models that were just listed, beside the client's calls for the same keys."""
    turns = count(1)

    def work(fields: int) -> Work:
        names = list(NEWER)[:fields]

        async def floor() -> Slice:
            records = cycle(await BareSave.of_all(client, directory(Few), names))
            return await repeated(lambda: next(records).save(), seconds)

        async def own() -> Slice:
            models = cycle(await session.list(Few))

            async def save() -> None:
                model = next(models)
                change(model, fields, next(turns))
                await session.save(model)

            return await repeated(save, seconds)

        return Work(floor, own)

    return {Goal(f"save, {fields} changed", 1.3): work(fields) for fields in CHANGED}


def saving_all(session: Session, client: Client, models: int) -> dict[Goal, Work]:
    """Saving so many models one after the other, as a multiple of what ``save_all`` takes for them.

    Beside that, the same of the client's calls alone that the saves are made of: it is what there is to be won.
    """
    numbers, turns = count(), count(1)

    async def new(save: Callable[[Sequence[Server]], Awaitable[Sized]]) -> Slice:
        made = [New.model_validate(values(next(numbers))) for _ in range(models)]
        slice = await once(save(made), models)
        await client.delete(directory(New), recursive=True, timeout=60)
        return slice

    async def changed(save: Callable[[Sequence[Server]], Awaitable[Sized]]) -> Slice:
        listed, turn = await session.list(Few), next(turns)
        for model in listed:
            change(model, 1, turn)
        return await once(save(listed), models)

    async def at_once(these: Sequence[Server]) -> Sized:
        return (await session.save_all(these)).raise_for_errors()

    async def in_turn(these: Sequence[Server]) -> Sized:
        return [await session.save(model) for model in these]

    some = max(1, models // 5)

    async def new_calls(limit: int) -> Slice:
        schema = schema_of(New)
        made = [New.model_validate(values(next(numbers))) for _ in range(some)]
        saves = [BareSave.of_none(client, str(schema.path(m)), schema.encode(m, document=False)) for m in made]
        slice = await once(limited([save.create for save in saves], limit), some)
        await client.delete(directory(New), recursive=True, timeout=60)
        return slice

    async def changed_calls(limit: int) -> Slice:
        saves = await BareSave.of_all(client, directory(Few), list(NEWER)[:1])
        return await once(limited([save.save for save in saves[:some]], limit), some)

    return {
        Goal(f"save_all, {models} new", 3.0, least=True): Work(lambda: new(at_once), lambda: new(in_turn)),
        Goal("calls alone, new"): Work(lambda: new_calls(AT_ONCE), lambda: new_calls(1)),
        Goal(f"save_all, {models} changed", 3.0, least=True): Work(lambda: changed(at_once), lambda: changed(in_turn)),
        Goal("calls alone, changed"): Work(lambda: changed_calls(AT_ONCE), lambda: changed_calls(1)),
    }


def directory(kind: type[Server]) -> str:
    return str(schema_of(kind).template.prefix)


class _Clock:
    """Begins when it is made; what was left over before is cleared away first."""

    def __init__(self) -> None:
        gc.collect()
        self._begun, self._begun_cpu = time.perf_counter(), time.process_time()

    def slice(self, calls: int) -> Slice:
        taken, taken_cpu = time.perf_counter() - self._begun, time.process_time() - self._begun_cpu
        return Slice(taken / calls, taken_cpu / calls)


async def limited(calls: Sequence[Callable[[], Awaitable[None]]], limit: int) -> Sized:
    """Make all the calls, so many at a time."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()

    await asyncio.gather(*(work() for _ in range(limit)))
    return calls


async def once(call: Awaitable[Sized], number: int) -> Slice:
    """What a call takes for each of the ``number`` that it brings; to let go of them again does not count."""
    clock = _Clock()
    brought = await call
    measured = clock.slice(number)
    if len(brought) != number:
        raise AssertionError(f"{len(brought)} models came instead of {number}")
    return measured


async def repeated(call: Callable[[], Awaitable[object]], seconds: float) -> Slice:
    """What each of the calls takes that are made for so long; one before them, which may have to connect, not."""
    await call()
    clock, done = _Clock(), 0
    for _ in lasting(seconds):
        await call()
        done += 1
    return clock.slice(done)
