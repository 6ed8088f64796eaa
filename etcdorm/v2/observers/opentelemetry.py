"""Calls as OpenTelemetry spans; needs the extra ``etcdorm[opentelemetry]``."""

from __future__ import annotations

from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer

from etcdorm.errors import AlreadyExistsError, NotFoundError
from etcdorm.v2.errors import EtcdCompareFailed, EtcdWatchTimedOut
from etcdorm.v2.observers import Call, Observer

_EXPECTED = (NotFoundError, AlreadyExistsError, EtcdCompareFailed, EtcdWatchTimedOut)
"""Answers that a caller asked for; they are told, and make no span an error."""


class OpenTelemetryObserver(Observer):
    """A client span for each call: ``Client(observers=[OpenTelemetryObserver()])``.

    A span carries the method and the key, the endpoint that was asked last, the HTTP status, and, as events, every
    try that failed and where the call went next. No value is told. Waits for changes get spans as well, unless
    ``waits=False``. The tracer provider is the global one unless one is given.
    Source: OpenTelemetry's semantic conventions for database client spans.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None, *, waits: bool = True) -> None:
        self._tracer = get_tracer("etcdorm", tracer_provider=tracer_provider)
        self._waits = waits
        self._spans: dict[Call, Span] = {}

    def call_started(self, call: Call) -> None:
        if call.waits and not self._waits:
            return
        # The current span becomes its parent; it is not made current itself, since a call runs other people's code.
        self._spans[call] = self._tracer.start_span(
            f"etcd {call.method}",
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": "etcd",
                "db.operation.name": call.method,
                "etcd.key": call.key,
                "etcd.wait": call.waits,
            },
        )

    def request_answered(self, call: Call, endpoint: str, status: int, duration: float) -> None:
        if (span := self._spans.get(call)) is not None:
            _at(span, endpoint)
            span.set_attribute("http.response.status_code", status)

    def request_failed(self, call: Call, endpoint: str, reason: str, duration: float) -> None:
        if (span := self._spans.get(call)) is not None:
            _at(span, endpoint)
            span.add_event("etcd.request_failed", {"etcd.endpoint": endpoint, "reason": reason, "duration": duration})

    def request_retried(self, call: Call, endpoint: str, pause: float) -> None:
        if (span := self._spans.get(call)) is not None:
            span.add_event("etcd.retry", {"etcd.endpoint": endpoint, "pause": pause})

    def failed_over(self, call: Call, endpoint: str, to: str, pause: float) -> None:
        if (span := self._spans.get(call)) is not None:
            span.add_event("etcd.failover", {"etcd.endpoint": endpoint, "to": to, "pause": pause})

    def call_ended(self, call: Call, duration: float, error: BaseException | None) -> None:
        span = self._spans.pop(call, None)
        if span is None:
            return
        if error is not None:
            span.set_attribute("error.type", type(error).__name__)
            if not isinstance(error, _EXPECTED):
                span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end()


def _at(span: Span, endpoint: str) -> None:
    parts = urlsplit(endpoint)
    span.set_attribute("server.address", parts.hostname or "")
    span.set_attribute("server.port", parts.port or (443 if parts.scheme == "https" else 80))
