"""What observers are told, and what the adapters make of it."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

from etcdorm import EtcdModel, connect
from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, first
from etcdorm.v2 import Call, Client, EtcdKeyNotFound, EtcdUnavailable, EtcdUnconfirmed, Observer
from etcdorm.v2.observers.opentelemetry import OpenTelemetryObserver
from etcdorm.v2.observers.prometheus import PrometheusObserver

DEAD = "http://127.0.0.1:1"


class Notes(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.calls: list[Call] = []
        self.durations: list[float] = []

    def names(self) -> list[object]:
        return [name for name, *_ in self.told]

    def call_started(self, call: Call) -> None:
        self.calls.append(call)
        self.told.append(("call_started", call.method, call.key, call.waits))

    def request_started(self, call: Call, endpoint: str) -> None:
        assert call is self.calls[-1]
        self.told.append(("request_started", endpoint))

    def request_answered(self, call: Call, endpoint: str, status: int, duration: float) -> None:
        self.durations.append(duration)
        self.told.append(("request_answered", endpoint, status))

    def request_failed(self, call: Call, endpoint: str, reason: str, duration: float) -> None:
        self.durations.append(duration)
        self.told.append(("request_failed", endpoint))

    def request_retried(self, call: Call, endpoint: str, pause: float) -> None:
        self.told.append(("request_retried", endpoint))

    def failed_over(self, call: Call, endpoint: str, to: str, pause: float) -> None:
        self.told.append(("failed_over", endpoint, to))

    def call_ended(self, call: Call, duration: float, error: BaseException | None) -> None:
        assert call is self.calls[-1]
        self.durations.append(duration)
        self.told.append(("call_ended", type(error)))


async def test_a_call_is_told_from_its_start_to_its_end(etcd: EtcdServer) -> None:
    notes = Notes()
    async with Client(etcd.url, observers=[notes]) as client:
        await client.write("/key", "a")
    assert notes.told == [
        ("call_started", "PUT", "/key", False),
        ("request_started", etcd.url),
        ("request_answered", etcd.url, 201),
        ("call_ended", type(None)),
    ]
    assert all(0 < duration < 10 for duration in notes.durations)


async def test_a_refusal_is_an_answer(etcd: EtcdServer) -> None:
    notes = Notes()
    async with Client(etcd.url, observers=[notes]) as client:
        with pytest.raises(EtcdKeyNotFound):
            await client.read("/none")
    assert notes.told[-2:] == [("request_answered", etcd.url, 404), ("call_ended", EtcdKeyNotFound)]


async def test_a_dead_endpoint_is_told_and_the_one_that_is_asked_instead(etcd: EtcdServer) -> None:
    notes = Notes()
    async with Client([DEAD, etcd.url], observers=[notes]) as client:
        await client.write("/key", "a")
    assert notes.told[1:-1] == [
        ("request_started", DEAD),
        ("request_failed", DEAD),
        ("failed_over", DEAD, etcd.url),
        ("request_started", etcd.url),
        ("request_answered", etcd.url, 201),
    ]


async def test_a_read_that_is_sent_again_to_the_same_endpoint_is_told(etcd: EtcdServer) -> None:
    notes = Notes()
    async with (
        FaultProxy(etcd.url, judge=first("GET", Fate.CUT_AFTER)) as proxy,
        Client(proxy.url, observers=[notes]) as client,
    ):
        await client.read("/")
    assert notes.names() == [
        "call_started",
        *("request_started", "request_failed", "request_retried"),
        *("request_started", "request_answered"),
        "call_ended",
    ]


async def test_a_cancelled_wait_is_told(etcd: EtcdServer) -> None:
    notes = Notes()
    async with Client(etcd.url, observers=[notes]) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.watch("/key")
    assert notes.told[0] == ("call_started", "GET", "/key", True)
    assert notes.told[-1] == ("call_ended", asyncio.CancelledError)


async def test_an_observer_that_raises_disturbs_nobody(etcd: EtcdServer, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Observer):
        def request_answered(self, call: Call, endpoint: str, status: int, duration: float) -> None:
            raise RuntimeError("the observer's own trouble")

    notes = Notes()
    with caplog.at_level(logging.ERROR, "etcdorm"):
        async with Client(etcd.url, observers=[Broken(), notes]) as client:
            await client.write("/key", "a")
    assert notes.names() == ["call_started", "request_started", "request_answered", "call_ended"]
    assert "Broken failed" in caplog.text


async def test_a_session_tells_its_observers(etcd: EtcdServer) -> None:
    class Item(EtcdModel, path="/items/{name}"):
        name: str

    notes = Notes()
    async with connect(etcd.url, observers=[notes]) as session:
        assert await session.get(Item, "i") is None
    assert [(call.method, call.key) for call in notes.calls] == [("GET", "/items/i")]


# -- the adapters --------------------------------------------------------------------------------------------------


async def test_prometheus_counts_calls_requests_and_failovers(etcd: EtcdServer) -> None:
    registry = CollectorRegistry()
    async with Client([DEAD, etcd.url], observers=[PrometheusObserver(registry)]) as client:
        await client.write("/key", "a")
        with pytest.raises(EtcdKeyNotFound):
            await client.read("/none")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("etcdorm_calls_total", method="PUT", outcome="ok") == 1
    assert value("etcdorm_calls_total", method="GET", outcome="EtcdKeyNotFound") == 1
    assert value("etcdorm_requests_total", method="PUT", endpoint=DEAD, status="none") == 1
    assert value("etcdorm_requests_total", method="PUT", endpoint=etcd.url, status="201") == 1
    assert value("etcdorm_failovers_total", method="PUT") == 1
    assert value("etcdorm_call_seconds_count", method="PUT", outcome="ok") == 1


async def test_prometheus_times_no_wait(etcd: EtcdServer) -> None:
    registry = CollectorRegistry()
    async with Client(etcd.url, observers=[PrometheusObserver(registry)]) as client:
        written = await client.write("/key", "a")
        await client.watch("/key", written.modifiedIndex)
    assert registry.get_sample_value("etcdorm_calls_total", {"method": "GET", "outcome": "ok"}) == 1
    assert registry.get_sample_value("etcdorm_call_seconds_count", {"method": "GET", "outcome": "ok"}) is None


class Traced:
    """A tracer provider that keeps what ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


async def test_a_span_tells_of_its_call(etcd: EtcdServer) -> None:
    traced = Traced()
    async with Client([DEAD, etcd.url], observers=[OpenTelemetryObserver(traced.provider)]) as client:
        await client.write("/key", "very secret")
    (span,) = traced.spans()
    assert span.name == "etcd PUT"
    assert span.attributes is not None
    assert span.attributes["etcd.key"] == "/key"
    where = urlsplit(etcd.url)
    assert (span.attributes["server.address"], span.attributes["server.port"]) == (where.hostname, where.port)
    assert span.attributes["http.response.status_code"] == 201
    assert [event.name for event in span.events] == ["etcd.request_failed", "etcd.failover"]
    assert span.status.status_code is StatusCode.UNSET
    assert "very secret" not in span.to_json()


async def test_a_span_belongs_to_the_one_around_its_call(etcd: EtcdServer) -> None:
    traced = Traced()
    tracer = traced.provider.get_tracer("test")
    async with Client(etcd.url, observers=[OpenTelemetryObserver(traced.provider)]) as client:
        with tracer.start_as_current_span("mine") as mine:
            await client.write("/key", "a")
    call = traced.spans()[0]
    assert call.parent is not None
    assert call.parent.span_id == mine.get_span_context().span_id


@pytest.mark.parametrize(("key", "code"), [("/none", StatusCode.UNSET), ("/lost", StatusCode.ERROR)])
async def test_an_error_that_nobody_asked_for_makes_the_span_one(etcd: EtcdServer, key: str, code: StatusCode) -> None:
    traced = Traced()
    async with (
        FaultProxy(etcd.url, judge=first("PUT", Fate.CUT_AFTER)) as proxy,
        Client(proxy.url, observers=[OpenTelemetryObserver(traced.provider)]) as client,
    ):
        with pytest.raises((EtcdKeyNotFound, EtcdUnconfirmed)):
            await (client.read(key) if key == "/none" else client.write(key, "a"))
    (span,) = traced.spans()
    assert span.status.status_code is code
    assert span.attributes is not None
    assert span.attributes["error.type"] in ("EtcdKeyNotFound", "EtcdUnconfirmed")


async def test_waits_can_be_left_out_of_the_trace(etcd: EtcdServer) -> None:
    traced = Traced()
    async with Client(etcd.url, observers=[OpenTelemetryObserver(traced.provider, waits=False)]) as client:
        written = await client.write("/key", "a")
        await client.watch("/key", written.modifiedIndex)
    assert [span.name for span in traced.spans()] == ["etcd PUT"]


async def test_a_call_that_never_found_an_endpoint_is_told() -> None:
    traced = Traced()
    async with Client(DEAD, timeout=0.1, observers=[OpenTelemetryObserver(traced.provider)]) as client:
        with pytest.raises(EtcdUnavailable):
            await client.read("/key")
    (span,) = traced.spans()
    assert span.status.status_code is StatusCode.ERROR
