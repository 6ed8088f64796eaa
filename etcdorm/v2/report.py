"""Telling the observers of one call what becomes of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from etcdorm.v2.observers import Call, Observer

_log = logging.getLogger("etcdorm.v2")


class Report:
    """One call, told to every observer; an observer that raises is logged, and disturbs nobody."""

    def __init__(self, observers: Sequence[Observer], call: Call) -> None:
        self._observers = observers
        self._call = call
        self._began = self._tried = time.monotonic()
        self._tell(lambda observer: observer.call_started(call))

    def trying(self, endpoint: str) -> None:
        self._tried = time.monotonic()
        self._tell(lambda observer: observer.request_started(self._call, endpoint))

    def answered(self, endpoint: str, status: int) -> None:
        duration = time.monotonic() - self._tried
        self._tell(lambda observer: observer.request_answered(self._call, endpoint, status, duration))

    def failed(self, endpoint: str, failure: Exception) -> None:
        duration = time.monotonic() - self._tried
        self._tell(lambda observer: observer.request_failed(self._call, endpoint, str(failure), duration))

    def again(self, endpoint: str, to: str, pause: float) -> None:
        if to == endpoint:
            self._tell(lambda observer: observer.request_retried(self._call, endpoint, pause))
        else:
            self._tell(lambda observer: observer.failed_over(self._call, endpoint, to, pause))

    def ended(self, error: BaseException | None) -> None:
        duration = time.monotonic() - self._began
        self._tell(lambda observer: observer.call_ended(self._call, duration, error))

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                tell(observer)
            except Exception:
                _log.exception("the observer %s failed, and the call goes on", type(observer).__name__)
