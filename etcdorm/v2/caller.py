"""One call: a request is sent to one endpoint after the other, until it is answered or must not be sent again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from etcdorm.v2.discovery import Discovery
from etcdorm.v2.endpoints import Endpoints
from etcdorm.v2.errors import (
    EtcdClusterIdChanged,
    EtcdException,
    EtcdMisconfigured,
    EtcdProtocolError,
    EtcdRefused,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EtcdWatchTimedOut,
)
from etcdorm.v2.observers import Call, Observer
from etcdorm.v2.report import Report
from etcdorm.v2.request import Asked, Request
from etcdorm.v2.retry import GiveUp, after_failure
from etcdorm.v2.transport import (
    Answer,
    AnswerLost,
    Busy,
    CutInHandshake,
    HungUp,
    NoAnswer,
    NoConnection,
    NotSent,
    Streamed,
    TlsFailed,
    Transport,
    WaitedInVain,
)

_log = logging.getLogger("etcdorm.v2")

T = TypeVar("T")

Understand = Callable[[Request, Answer, Asked], T]
"""Makes the result out of an answer, or raises; the text says what was asked of which endpoint."""


class Caller:
    """The endpoints of one cluster, the connections to them, and the rules of trying."""

    def __init__(
        self,
        urls: Iterable[str],
        transport: Transport,
        *,
        timeout: float,
        expected_cluster_id: str | None,
        discovery: Discovery | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.endpoints = Endpoints(urls)
        self.timeout = timeout
        self._expected = expected_cluster_id
        self._transport = transport
        self._discovery = discovery
        self._observers = tuple(observers)
        self.cluster_id = ""
        """Which cluster has answered last; "" before the first answer."""
        self.on_answer: Callable[[], None] | None = None
        """Told after every answer."""

    def call(
        self,
        request: Request,
        understand: Understand[T],
        timeout: float | None,
        *,
        spare: float = 0.0,
        at: str | None = None,
        wait: float | None = None,
    ) -> Awaitable[T]:
        """Send a request until it is answered, its time is up, or it must not be sent again.

        ``at`` names the one endpoint to ask, once; its answer does not make it the one that is asked first.
        Units: ``timeout`` in seconds, over all endpoints and tries; None waits for ever. ``spare`` of them are left
            over by a write that gets no answer, for whoever wants to look what became of it. With ``wait``, the seconds
            that a long poll waits once it is registered, ``timeout`` is for what comes before.
        Resend: reads, and what was never sent.
        Cancel: a write may have happened, or may still happen.
        Raises: EtcdUnavailable, EtcdUnconfirmed, EtcdWatchTimedOut, and what ``understand`` raises.
        """
        if not self._observers:
            return self._run(request, understand, timeout, spare, at, wait, None)
        return self._run_observed(request, understand, timeout, spare, at, wait)

    async def _run_observed(
        self,
        request: Request,
        understand: Understand[T],
        timeout: float | None,
        spare: float,
        at: str | None,
        wait: float | None,
    ) -> T:
        report = Report(self._observers, Call(request.method, str(request.key), request.waits))
        try:
            result = await self._run(request, understand, timeout, spare, at, wait, report)
        except BaseException as error:
            report.ended(error)
            raise
        report.ended(None)
        return result

    async def _run(
        self,
        request: Request,
        understand: Understand[T],
        timeout: float | None,
        spare: float,
        at: str | None,
        wait: float | None,
        report: Report | None,
    ) -> T:
        deadline = None if timeout is None else time.monotonic() + timeout
        tries = 0
        without_tls: dict[str, str] = {}
        reasons: dict[str, Exception] = {}
        while True:
            tries += 1
            if self._discovery is not None:
                await self._discovery.update(self.endpoints, timeout=_left(deadline, self.timeout))
            now = time.monotonic()
            url = at or self.endpoints.best(now)
            words = Asked(request, url)
            if deadline is not None and now >= deadline:
                raise EtcdUnavailable(f"{words}: the time was up before it was sent; nothing was changed")
            if report is not None:
                report.trying(url)
            try:
                answer = await self._transport.send(
                    request.method,
                    url + request.target,
                    request.form,
                    timeout=self._share(request, deadline, spare),
                    content=request.content,
                    wait=wait,
                    waits=request.waits,
                )
                if report is not None:
                    report.answered(url, answer.status)
                if self._expected is not None:
                    self._check_cluster(answer, url, words)
                if answer.cluster_id:
                    self.cluster_id = answer.cluster_id
                result = understand(request, answer, words)
                self._worked(url, asked=at)
                return result
            except EtcdRefused:
                self._worked(url, asked=at)  # it answered
                raise
            except (NotSent, AnswerLost) as error:
                failure = error
                if report is not None:
                    report.failed(url, failure)
            except EtcdUnavailable as error:  # a member that answers, but has no majority behind it
                failure = AnswerLost(str(error))
            now = time.monotonic()
            if isinstance(failure, WaitedInVain) and request.waits:
                raise EtcdWatchTimedOut(f"{words}: {failure}", index=failure.index or 0, raft_index=failure.raft_index)
            if not isinstance(failure, Busy):
                self.endpoints.failed(url, now)
            if isinstance(failure, TlsFailed):
                without_tls[url] = str(failure)
                if without_tls.keys() >= set(self.endpoints.urls):
                    raise _no_tls(words, without_tls) from failure
            elif not isinstance(failure, NoConnection | NoAnswer):
                without_tls.pop(url, None)
            if at is not None:
                raise _gave_up(words, str(failure), unconfirmed=request.writes, tries=1) from failure
            others = len(self.endpoints.urls) - 1
            step = after_failure(failure, writes=request.writes, tries=tries, others=others, now=now, deadline=deadline)
            if isinstance(step, GiveUp):
                reason = self._reason(url, failure, reasons.get(url, failure), without_tls)
                raise _gave_up(words, reason, unconfirmed=step.unconfirmed, tries=tries) from failure
            if not isinstance(failure, NoConnection | NoAnswer):
                reasons[url] = failure
            if isinstance(failure, AnswerLost) and failure.index and request.waits_from_now:
                request = request.waiting_from(failure.index + 1)
            if report is not None:
                report.again(url, self.endpoints.best(now + step.after), step.after)
            _log.debug("%s: %s; again in %.2f s", words, failure, step.after)
            await asyncio.sleep(step.after)

    @asynccontextmanager
    async def stream(self, request: Request, understand: Understand[object]) -> AsyncIterator[tuple[str, Streamed]]:
        """The endpoint that was asked, and its answer while it comes; one try, at the best endpoint.

        Raises: EtcdUnavailable when it can't be had or breaks; what ``understand`` raises for a refusal.
        """
        if self._discovery is not None:
            await self._discovery.update(self.endpoints, timeout=self.timeout)
        url = self.endpoints.best(time.monotonic())
        words = Asked(request, url)
        try:
            async with self._transport.stream(url + request.target) as streamed:
                if streamed.status != 200:
                    understand(request, await streamed.answer(), words)
                self._check_cluster(streamed, url, words)
                self._worked(url)
                yield url, streamed
        except (NotSent, AnswerLost) as error:
            self.endpoints.failed(url, time.monotonic())
            raise EtcdUnavailable(f"{words}: {error}") from error

    async def close(self) -> None:
        """Close all connections; calls under way end with an error. May be called twice."""
        await self._transport.close()

    def _share(self, request: Request, deadline: float | None, spare: float) -> float | None:
        """How long one try may take: a read leaves time for the other endpoints, a write gets all there is."""
        if deadline is None:
            return None
        left = max(0.0, deadline - time.monotonic())
        if request.writes:
            return max(left - spare, left / 2)
        if request.waits:
            return left
        return left if len(self.endpoints.urls) == 1 else left / 2

    def _worked(self, url: str, *, asked: str | None = None) -> None:
        if asked is None:  # one that was asked for by name need not be the best
            self.endpoints.worked(url)
        if self.on_answer is not None:
            self.on_answer()

    def _reason(self, url: str, failure: Exception, before: Exception, without_tls: dict[str, str]) -> str:
        """Why nothing came of a call: of the last try, and of the try ``before`` if the last one had but little time.

        And what else is to be told: about the other endpoints, and about a server that just hangs up.
        """
        reasons = [str(failure)]
        if isinstance(failure, NoConnection | NoAnswer):
            if before is not failure:
                reasons.append(f"before that: {before}")
            failure = before
        if not self.endpoints.has_worked(url):
            if isinstance(failure, HungUp) and url.startswith("http:"):
                reasons.append("it has never answered, as a port does that expects TLS: is its URL https://?")
            elif isinstance(failure, CutInHandshake):
                reasons.append("it has never answered, as a port does that has no TLS: is its URL http://?")
        reasons += [told for each, told in without_tls.items() if each != url]
        return "; ".join(reasons)

    def _check_cluster(self, answer: Answer | Streamed, url: str, words: Asked) -> None:
        found = answer.cluster_id
        if self._expected and found and found != self._expected:
            self.endpoints.failed(url, time.monotonic())
            raise EtcdClusterIdChanged(
                f"{words}: this is a member of the cluster {found}, not of {self._expected}; what was asked may have "
                "happened in that cluster: mend the list of hosts, or expected_cluster_id"
            )


def not_v2(words: Asked, answer: Answer, request: Request) -> EtcdException:
    """The exception for an answer that can't be etcd's."""
    body = answer.body[:60].strip()
    # Never JSON itself: if it is a part of an answer of etcd's, there is a value in it.
    start = "broken JSON" if body[:1] in (b"{", b"[") else repr(body.decode(errors="replace"))
    if request.writes and (answer.status < 300 or answer.status >= 500):
        return EtcdUnconfirmed(
            f"{words}: HTTP {answer.status} with an answer that is not etcd's ({start}); it may have happened: "
            "read with quorum before trying again"
        )
    if not request.writes and answer.status >= 500:
        return EtcdUnavailable(f"{words}: HTTP {answer.status} ({start})")
    hint = ""
    if answer.status == 404:
        hint = "; the v2 API is switched off or gone there: it needs etcd 3.3 to 3.5, started with --enable-v2"
    return EtcdProtocolError(f"{words}: HTTP {answer.status} with an answer that is not etcd's ({start}){hint}")


def _left(deadline: float | None, otherwise: float) -> float:
    return otherwise if deadline is None else max(0.0, deadline - time.monotonic())


def _no_tls(words: Asked, failures: dict[str, str]) -> EtcdMisconfigured:
    reasons = "; ".join(dict.fromkeys(failures.values()))
    return EtcdMisconfigured(f"{words}: {reasons}; nothing was sent, and no other endpoint is left to try")


def _gave_up(words: Asked, failure: str, *, unconfirmed: bool, tries: int) -> EtcdException:
    times = "" if tries == 1 else f", {tries} tries"
    if unconfirmed:
        return EtcdUnconfirmed(
            f"{words}: sent, and the answer was lost ({failure}); it may have happened, or may still happen: "
            "read with quorum before trying again"
        )
    return EtcdUnavailable(f"{words}: no answer in time{times} ({failure}); nothing was changed")
