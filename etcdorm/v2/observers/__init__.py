"""Watching a client at work: what an observer is told of every call. The adapters beside this file are extras."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a client; the same object from ``call_started`` to ``call_ended``, so it can be a key of a dict.

    ``method`` is GET, PUT, POST or DELETE, ``key`` the etcd key or, for what is asked of the cluster, the page (as in
    /members). ``waits``: it waits for a change, so a long time is no bad sign. No value and no credential is told.
    """

    method: str
    key: str
    waits: bool


class Observer:
    """What a client tells of its calls: ``Client(observers=[...])``. Override what you need.

    A call is one or more tries; each is sent to one endpoint, and answered or not. A write whose answer is lost may be
    settled by further calls. The methods are called on the client's loop and must not block; what they raise is logged,
    and goes no further.
    Units: durations in seconds.
    """

    def call_started(self, call: Call) -> None:
        """A call begins."""

    def request_started(self, call: Call, endpoint: str) -> None:
        """A try is about to be sent to an endpoint."""

    def request_answered(self, call: Call, endpoint: str, status: int, duration: float) -> None:
        """An endpoint answered, with an HTTP status."""

    def request_failed(self, call: Call, endpoint: str, reason: str, duration: float) -> None:
        """No answer came from an endpoint: no connection, a broken one, or the try's time was up."""

    def request_retried(self, call: Call, endpoint: str, pause: float) -> None:
        """The same endpoint will be asked again, after ``pause`` seconds."""

    def failed_over(self, call: Call, endpoint: str, to: str, pause: float) -> None:
        """Another endpoint (``to``) will be asked instead, after ``pause`` seconds."""

    def call_ended(self, call: Call, duration: float, error: BaseException | None) -> None:
        """A call is over: with a result, an error (a refusal of the server's too), or by cancellation."""
