"""What is started and stopped by blocking methods, for as long as a ``with`` or an ``async with`` block lasts."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from etcdorm.embedded.threads import run_to_end


class Block(ABC):
    """``abandoned`` is set when the start that another thread is in should give up."""

    def __init__(self) -> None:
        self.abandoned: threading.Event = threading.Event()

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    def abandon(self) -> None:
        """Let a ``start`` that another thread is in give up soon."""
        self.abandoned.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.abandoned = threading.Event()
        try:
            await run_to_end(self.start, when_cancelled=self.abandon)
        except asyncio.CancelledError:
            await run_to_end(self.stop)  # it may have been up at that very moment
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await run_to_end(self.stop)
