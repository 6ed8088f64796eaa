"""Cancels a call at every step that the loop takes for it, and looks what is left behind each time.

::

    def test_...(etcd: EtcdServer) -> None:
        async def scenario(cancelled: Cancelled) -> None:
            async with Client(etcd.url) as client:
                await cancelled(client.write("/key", "a"))    # the call in question
                await client.read("/key")                     # whatever must hold afterwards

        cancel_everywhere(scenario)

The scenario is run on a new loop for each step: first without a cancellation, then cancelled before the first step,
before the second one, and so on, until the call comes to its end before its turn. A step is one turn of the loop, so a
call is met while it waits, and also when what it waits for has just come and it has not yet taken note.
"""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import CoroutineType
from typing import Any

from etcdorm.testing import faults

_PATIENCE = 60.0
_MOST_STEPS = 2000


class Cancelled:
    """What a scenario gives the call to that is to be cancelled, once."""

    def __init__(self, selector: _Stepping, step: int | None, again: bool) -> None:
        self._selector = selector
        self.step = step
        self._again = again
        self.reached = False
        """The call was cancelled; else it came to its end first."""

    async def __call__(self, call: Coroutine[Any, Any, object], *, may_leave_tasks: bool = False) -> None:
        """Run the call, and cancel it at this run's step.

        ``may_leave_tasks``: it may leave tasks behind, which must have ended with the scenario.
        """
        before = asyncio.all_tasks()
        task = asyncio.create_task(call)
        steps = 0

        def step() -> bool:
            nonlocal steps
            steps += 1
            due = self.step is not None and (steps - 1 == self.step or (self._again and steps - 2 == self.step))
            if due and task.cancel():
                self.reached = True
                return True
            return False

        self._selector.step = step
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.wait([task])
        finally:
            self._selector.step = None
        if self.reached:
            assert task.cancelled(), f"cancelled at step {self.step}, and it went on: {_outcome(task)}"
        else:
            task.result()
        left = {each for each in asyncio.all_tasks() - before - {task} if not _is_servers(each)}
        assert may_leave_tasks or not left, f"cancelled at step {self.step}, and these tasks were left: {left}"


Scenario = Callable[[Cancelled], Coroutine[Any, Any, None]]


def cancel_everywhere(scenario: Scenario, *, again: bool = False) -> int:
    """Run a scenario until its call was cancelled at every step; how many there were.

    ``again``: the call is cancelled a second time, one step after the first.
    """
    complaints: list[dict[str, Any]] = []
    sockets = _sockets()
    _run(scenario, None, again, complaints)
    step = 0
    while _run(scenario, step, again, complaints):
        left = _sockets() - sockets
        assert not left, f"cancelled at step {step}, and {len(left)} sockets were left open"
        step += 1
        assert step < _MOST_STEPS
    gc.collect()  # a task or a future whose exception nobody took complains when it goes
    assert not complaints
    return step


def _run(scenario: Scenario, step: int | None, again: bool, complaints: list[dict[str, Any]]) -> bool:
    selector = _Stepping()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(context))
        cancelled = Cancelled(selector, step, again)
        runner.run(_settled(scenario, cancelled, step))
    return cancelled.reached


async def _settled(scenario: Scenario, cancelled: Cancelled, step: int | None) -> None:
    sockets = _sockets()
    try:
        await scenario(cancelled)
    except BaseException as error:
        error.add_note(f"(with a cancellation at step {step})")
        raise
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # a transport that was closed closes its socket with the next turn
    left = asyncio.all_tasks() - {task for task in [asyncio.current_task()] if task}
    assert not left, f"cancelled at step {step}, and these tasks outlived the scenario: {left}"
    open_ = _sockets() - sockets
    assert not open_, f"cancelled at step {step}, and {len(open_)} sockets outlived the scenario"


class _Stepping(selectors.DefaultSelector):
    """Says when the loop takes a step: it selects once in each turn."""

    step: Callable[[], bool] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.step is not None and self.step():
            timeout = 0  # there is something to do now, which the loop did not know of when it chose to wait
        return super().select(timeout)


def _is_servers(task: asyncio.Task[Any]) -> bool:
    """A fault proxy on this loop has tasks for each connection, its own and asyncio's."""
    coroutine = task.get_coro()
    assert isinstance(coroutine, CoroutineType)
    file = coroutine.cr_code.co_filename
    return file == faults.__file__ or Path(file).parent == Path(asyncio.__file__).parent


def _outcome(task: asyncio.Task[object]) -> str:
    return repr(task.exception() or task.result())


def _sockets() -> set[tuple[int, int]]:
    """This process's open sockets, by number and inode."""
    found = set()
    for descriptor in Path("/dev/fd").iterdir():
        number = int(descriptor.name)
        try:
            status = os.fstat(number)
        except OSError:
            continue  # the one that listed them
        if stat.S_ISSOCK(status.st_mode):
            found.add((number, status.st_ino))
    return found
