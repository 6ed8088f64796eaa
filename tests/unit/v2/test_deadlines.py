"""The one timer of many deadlines."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm.v2.deadlines import Deadlines


async def test_a_block_ends_by_timeout_error_when_its_time_is_up() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), deadlines.within(0.01):
        await asyncio.Event().wait()
    assert not own_task().cancelling()


async def test_of_two_blocks_the_one_that_is_due_ends() -> None:
    deadlines = Deadlines()

    async def wait(seconds: float) -> str:
        try:
            with deadlines.within(seconds):
                await asyncio.sleep(0.1)
        except TimeoutError:
            return "timed out"
        return "done"

    ends = await asyncio.gather(*(wait(seconds) for seconds in (60, 0.01, 0.02, 30)))
    assert ends == ["done", "timed out", "timed out", "done"]


async def test_all_blocks_can_be_ended_those_without_a_time_too() -> None:
    deadlines = Deadlines()
    asyncio.get_running_loop().call_later(0.01, deadlines.end_all)
    with pytest.raises(TimeoutError), deadlines.within(None), deadlines.within(60):
        await asyncio.Event().wait()
    assert not own_task().cancelling()


async def test_a_moved_end_counts_from_then() -> None:
    deadlines = Deadlines()
    with deadlines.within(0.02) as deadline:
        deadline.move(60)
        await asyncio.sleep(0.1)


async def test_an_end_that_has_come_is_not_moved() -> None:
    deadlines = Deadlines()

    async def wait() -> None:
        with deadlines.within(60) as deadline:
            deadlines.end_all()
            deadline.move(60)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()


async def test_a_task_that_others_cancel_at_that_moment_is_cancelled() -> None:
    deadlines = Deadlines()

    async def wait() -> None:
        with deadlines.within(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    deadlines.end_all()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_errors_of_a_block_pass() -> None:
    deadlines = Deadlines()
    with pytest.raises(KeyError), deadlines.within(0.01):
        raise KeyError
    await asyncio.sleep(0.05)  # its end does not come any more


def own_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task
