"""A client that loses what it is told to lose, on a real etcd."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from typing import Literal

from etcdorm.v2.client import Client
from etcdorm.v2.errors import EtcdRefused, EtcdUnconfirmed
from etcdorm.v2.request import Request
from etcdorm.v2.result import EtcdResult

Fate = Literal["answer lost", "never arrives", "arrives late", "stalls", "killed before", "killed after"]


class LossyClient(Client):
    """``fate`` happens to the write number ``which`` (from 0); the writes are counted in ``writes``.

    One that stalls sets ``stalled``, and is sent once ``go_on`` is set.
    """

    def __init__(self, url: str, which: int = -1, fate: Fate = "answer lost") -> None:
        super().__init__(url)
        self.writes = 0
        self.late: list[Callable[[], object]] = []
        self.stalled = asyncio.Event()
        self.go_on = asyncio.Event()
        self._which = which
        self._fate = fate

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if not request.writes:
            return await super()._call(request, timeout, spare=spare)
        self.writes += 1
        if self.writes - 1 != self._which:
            return await super()._call(request, timeout, spare=spare)
        match self._fate:
            case "answer lost":
                await super()._call(request, timeout, spare=spare)
            case "arrives late":
                self.late.append(lambda: super(LossyClient, self)._call(request, timeout))
            case "stalls":
                self.stalled.set()
                await self.go_on.wait()
                return await super()._call(request, timeout, spare=spare)
            case "killed before":
                os.kill(os.getpid(), signal.SIGKILL)
            case "killed after":
                await super()._call(request, timeout, spare=spare)
                os.kill(os.getpid(), signal.SIGKILL)
        raise EtcdUnconfirmed("the answer was lost, as the test wants it")


class UnluckyClient(Client):
    """Loses the answer of every fifth write or so; some of those arrive late, some never."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(url)
        self._dice = random.Random(seed)
        self._late: set[asyncio.Task[None]] = set()

    async def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> EtcdResult:
        if not request.writes or self._dice.random() > 0.2:
            return await super()._call(request, timeout, spare=spare)
        match self._dice.randrange(3):
            case 0:
                await super()._call(request, timeout, spare=spare)
            case 1:
                self._late.add(asyncio.create_task(self._arrive(request, self._dice.uniform(0, 0.3))))
        raise EtcdUnconfirmed("the answer was lost, as the test wants it")

    async def _arrive(self, request: Request, after: float) -> None:
        await asyncio.sleep(after)
        try:
            await super()._call(request, None)
        except EtcdRefused:
            return

    async def close(self) -> None:
        await asyncio.gather(*self._late)
        await super().close()
