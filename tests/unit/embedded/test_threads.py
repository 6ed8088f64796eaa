from __future__ import annotations

import asyncio
import threading

import pytest

from etcdorm.embedded.threads import run_to_end


async def test_the_loop_goes_on_while_the_work_is_done() -> None:
    gate = threading.Event()
    work = asyncio.create_task(run_to_end(lambda: assert_true(gate.wait(10))))
    await asyncio.sleep(0)
    gate.set()
    await work


async def test_an_error_of_the_work_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_to_end(lambda: assert_true(bool(1 / 0)))


async def test_a_cancelled_call_tells_the_work_and_waits_for_its_end() -> None:
    begun, give_up, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        give_up.wait(10)
        ended.set()
        raise RuntimeError("given up")

    call = asyncio.create_task(run_to_end(work, when_cancelled=give_up.set))
    await asyncio.to_thread(begun.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()


async def test_a_call_cancelled_twice_still_waits() -> None:
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(10)
        ended.set()

    call = asyncio.create_task(run_to_end(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(2):
        call.cancel()
        await asyncio.sleep(0)
    assert not call.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()


def assert_true(value: bool) -> None:
    assert value
