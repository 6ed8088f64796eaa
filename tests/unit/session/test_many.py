"""Many calls at once, on work that needs no etcd."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from etcdorm import Done, EtcdModel, Failed, Results, UnconfirmedError, UsageError
from etcdorm.session import many


class Thing(EtcdModel, path="/things/{name}"):
    name: str


class Work:
    """Counts what is under way; refuses odd numbers."""

    def __init__(self) -> None:
        self.under_way: set[object] = set()
        self.most = 0

    async def __call__(self, item: int) -> str:
        assert item not in self.under_way
        self.under_way.add(item)
        self.most = max(self.most, len(self.under_way))
        await asyncio.sleep(0.001 * (item % 3))
        self.under_way.remove(item)
        if item % 2:
            raise ValueError(item)
        return str(item)


async def run(work: Work, items: object, *, limit: int = 4) -> Results[int, str]:
    return await many.run(work, items, "worked on", limit=limit, on_progress=None)  # type: ignore[arg-type]


async def test_results_are_in_the_order_of_the_items() -> None:
    results = await run(Work(), range(20))
    assert [each.item for each in results] == list(range(20))
    assert results.models == [str(number) for number in range(0, 20, 2)]
    assert [(each.item, type(each.error)) for each in results.failed] == [(n, ValueError) for n in range(1, 20, 2)]


async def test_no_more_are_under_way_than_the_limit_allows() -> None:
    work = Work()
    await run(work, range(50), limit=7)
    assert work.most == 7


async def test_the_iterable_is_read_as_there_is_room() -> None:
    work = Work()
    ahead = []

    def items() -> Iterator[int]:
        for number in range(30):
            ahead.append(len(work.under_way))
            yield number

    await run(work, items(), limit=3)
    assert max(ahead) <= 2


async def test_an_object_that_comes_twice_is_never_worked_on_twice_at_once() -> None:
    results = await run(Work(), [2, 2, 2, 4, 2])
    assert results.models == ["2", "2", "2", "4", "2"]


async def test_raise_for_errors_gives_the_results_back_when_there_are_none() -> None:
    results = await run(Work(), [0, 2])
    assert results.raise_for_errors() is results


async def test_raise_for_errors_raises_all_errors_as_a_group() -> None:
    results = await run(Work(), [0, 1, 2, 3])
    with pytest.raises(ExceptionGroup, match=r"^2 of 4 could not be worked on$") as caught:
        results.raise_for_errors()
    assert [error.args for error in caught.value.exceptions] == [(1,), (3,)]


async def test_results_are_a_sequence() -> None:
    results = await run(Work(), [0, 1, 2])
    first, second = results[0], results[1]
    assert isinstance(first, Done)
    assert isinstance(second, Failed)
    assert (first.item, first.model, second.item) == (0, "0", 1)
    assert results[1:].models == ["2"]
    assert repr(results) == "<Results: 2 worked on, 1 not>"


async def test_nothing_at_all_has_no_results() -> None:
    assert list(await run(Work(), [])) == []


async def test_progress_is_told_after_each() -> None:
    told: list[tuple[int, int | None]] = []
    await many.run(Work(), [1, 2, 3], "done", limit=2, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


async def test_the_total_of_a_generator_is_not_known() -> None:
    told: list[tuple[int, int | None]] = []
    items = iter([1, 2])
    await many.run(Work(), items, "done", limit=2, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, None), (2, None)]


async def test_an_error_in_the_callback_loses_no_result(caplog: pytest.LogCaptureFixture) -> None:
    told = []

    def on_progress(done: int, total: int | None) -> None:
        told.append(done)
        raise RuntimeError("no terminal")

    results = await many.run(Work(), [2, 4, 6], "done", limit=2, on_progress=on_progress)
    assert (results.models, told) == (["2", "4", "6"], [1])
    assert [(record.name, record.levelno) for record in caplog.records] == [("etcdorm.session", logging.ERROR)]


async def test_an_error_of_the_iterable_comes_out_when_what_is_under_way_has_ended() -> None:
    work = Work()

    def items() -> Iterator[int]:
        yield from (2, 4, 8)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await run(work, items(), limit=4)
    assert not work.under_way


@pytest.mark.parametrize("items", ["n1", b"n2", Thing(name="n1"), 7])
async def test_what_can_only_be_a_slip_is_refused(items: object) -> None:
    with pytest.raises(UsageError, match=f"not a {type(items).__name__}"):
        await run(Work(), items)


@pytest.mark.parametrize("limit", [0, -1, True, 1.5])
async def test_a_limit_that_is_none_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match="limit"):
        await run(Work(), [1], limit=limit)


@pytest.mark.parametrize("limit", [1, 2, 32])
async def test_what_was_cancelled_within_one_item_is_an_error_of_that_item(limit: int) -> None:
    async def work(item: int) -> int:
        if item == 2:
            other = asyncio.create_task(asyncio.sleep(60))
            other.cancel()
            await other
        return item

    results = await many.run(work, range(40), "worked on", limit=limit, on_progress=None)
    assert results.models == [item for item in range(40) if item != 2]
    (failed,) = results.failed
    assert failed.item == 2
    assert isinstance(failed.error, UnconfirmedError)
    assert isinstance(failed.error.__cause__, asyncio.CancelledError)
    with pytest.raises(ExceptionGroup, match="1 of 40 could not be worked on"):
        results.raise_for_errors()


async def test_a_callback_that_raises_a_cancellation_ends_nothing() -> None:
    def cancelled(done: int, total: int | None) -> None:
        raise asyncio.CancelledError

    results = await many.run(Work(), range(0, 20, 2), "worked on", limit=2, on_progress=cancelled)
    assert len(results.models) == 10


async def test_a_callback_can_not_be_async() -> None:
    async def told(done: int, total: int | None) -> None: ...

    with pytest.raises(UsageError, match="on_progress is called after each item and can't be async"):
        await many.run(Work(), [2], "worked on", limit=2, on_progress=told)


async def test_what_an_iterable_raises_comes_out_be_it_a_cancellation() -> None:
    def items() -> Iterator[int]:
        yield 2
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run(Work(), items())


async def test_a_cancelled_call_begins_no_more_items() -> None:
    begun: list[int] = []
    all_at_work = asyncio.Event()

    async def work(item: int) -> None:
        begun.append(item)
        if len(begun) == 4:
            all_at_work.set()
        if len(begun) <= 4:
            await asyncio.sleep(60)

    running = asyncio.create_task(many.run(work, range(20), "worked on", limit=4, on_progress=None))
    await all_at_work.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert begun == [0, 1, 2, 3]
