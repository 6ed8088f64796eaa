from __future__ import annotations

import pytest

from etcdorm.errors import UsageError
from etcdorm.v2.endpoints import Endpoints, check_endpoint, endpoint_urls
from etcdorm.v2.retry import Again, GiveUp, after_failure
from etcdorm.v2.transport import AnswerLost, NotSent

A, B = "http://a:1", "http://b:1"


def test_the_endpoint_that_answered_last_is_asked_first() -> None:
    endpoints = Endpoints([A, B])
    endpoints.worked(B)
    assert endpoints.best(now=0) == B


def test_a_failed_endpoint_is_left_alone_for_a_pause_that_grows() -> None:
    endpoints = Endpoints([A, B])
    endpoints.failed(A, now=0)
    assert endpoints.best(now=0.4) == B
    endpoints.failed(B, now=0.4)
    assert endpoints.best(now=0.5) == A
    endpoints.failed(A, now=0.5)
    assert endpoints.best(now=1.0) == B
    endpoints.failed(B, now=1.0)
    assert endpoints.best(now=1.49) == A, "of two in their pause, the one whose pause ends first"


def test_an_endpoint_that_works_again_has_no_failures_left() -> None:
    endpoints = Endpoints([A])
    for _ in range(10):
        endpoints.failed(A, now=0)
    endpoints.worked(A)
    endpoints.failed(A, now=100)
    assert endpoints.best(now=100.6) == A


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:2379", "ftp://h", "http://", "http://h:port", "http://h/?a=b", "http://h/#x", "http://[::1"]
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        check_endpoint(url)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="user name or password") as refused:
        check_endpoint("http://root:hunter2@h:2379")
    assert "hunter2" not in str(refused.value)


def test_no_endpoint_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="no endpoint"):
        endpoint_urls([], 2379, None)


def test_a_write_whose_answer_was_lost_is_never_sent_again() -> None:
    step = after_failure(AnswerLost("cut"), writes=True, tries=1, others=2, now=0, deadline=None)
    assert step == GiveUp(unconfirmed=True)


@pytest.mark.parametrize("writes", [True, False])
def test_what_was_never_sent_goes_to_each_other_endpoint_at_once_and_then_waits(writes: bool) -> None:
    steps = [
        after_failure(NotSent("refused"), writes=writes, tries=tries, others=1, now=0, deadline=10)
        for tries in range(1, 7)
    ]
    assert [step.after for step in steps if isinstance(step, Again)] == [0, 0.02, 0, 0.04, 0, 0.08]


def test_a_read_is_sent_again_after_a_lost_answer() -> None:
    step = after_failure(AnswerLost("cut"), writes=False, tries=1, others=1, now=0, deadline=10)
    assert step == Again(after=0)


def test_nothing_is_sent_after_the_deadline() -> None:
    step = after_failure(NotSent("refused"), writes=True, tries=1, others=1, now=10, deadline=10)
    assert step == GiveUp(unconfirmed=False)


def test_failing_for_ever_overflows_nothing() -> None:
    endpoints = Endpoints([A])
    for _ in range(3000):
        endpoints.failed(A, now=0)
    step = after_failure(NotSent("refused"), writes=True, tries=5000, others=0, now=0, deadline=None)
    assert step == Again(after=1.0)
