"""Calls as Prometheus metrics; needs the extra ``etcdorm[prometheus]``."""

from __future__ import annotations

from asyncio import CancelledError

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from etcdorm.v2.errors import EtcdException
from etcdorm.v2.observers import Call, Observer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class PrometheusObserver(Observer):
    """Counts and times a client's calls: ``Client(observers=[PrometheusObserver()])``.

    * ``etcdorm_call_seconds{method, outcome}``: a histogram of calls, waits for changes left out;
    * ``etcdorm_calls_total{method, outcome}``: all calls; ``outcome`` is ``ok``, ``cancelled``, or an exception's name;
    * ``etcdorm_requests_total{method, endpoint, status}``: tries; ``status`` is the HTTP status, or ``none``;
    * ``etcdorm_retries_total{method}`` and ``etcdorm_failovers_total{method}``.

    Keys are no labels: there can be any number of them. One observer may serve any number of clients; a second one in
    the same registry is refused by prometheus_client with a ValueError.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._seconds = Histogram(
            "etcdorm_call_seconds",
            "Duration of calls to etcd, over all tries",
            ("method", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._calls = Counter("etcdorm_calls", "Calls to etcd", ("method", "outcome"), registry=registry)
        self._requests = Counter(
            "etcdorm_requests", "Requests sent to etcd", ("method", "endpoint", "status"), registry=registry
        )
        self._retries = Counter("etcdorm_retries", "Requests sent again", ("method",), registry=registry)
        self._failovers = Counter("etcdorm_failovers", "Changes of the endpoint", ("method",), registry=registry)

    def request_answered(self, call: Call, endpoint: str, status: int, duration: float) -> None:
        self._requests.labels(call.method, endpoint, str(status)).inc()

    def request_failed(self, call: Call, endpoint: str, reason: str, duration: float) -> None:
        self._requests.labels(call.method, endpoint, "none").inc()

    def request_retried(self, call: Call, endpoint: str, pause: float) -> None:
        self._retries.labels(call.method).inc()

    def failed_over(self, call: Call, endpoint: str, to: str, pause: float) -> None:
        self._failovers.labels(call.method).inc()

    def call_ended(self, call: Call, duration: float, error: BaseException | None) -> None:
        outcome = _outcome(error)
        self._calls.labels(call.method, outcome).inc()
        if not call.waits:
            self._seconds.labels(call.method, outcome).observe(duration)


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, CancelledError):
        return "cancelled"
    return type(error).__name__ if isinstance(error, EtcdException) else "error"
