from __future__ import annotations

import pytest

from etcdorm.errors import UsageError
from etcdorm.v2.endpoints import Endpoints, check_endpoint, endpoint_urls, usable_members
from etcdorm.v2.retry import Again, GiveUp, after_failure
from etcdorm.v2.transport import AnswerLost, NotSent

A, B, C, D = "http://a:1", "http://b:1", "http://c:1", "http://d:1"


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


def test_a_write_is_not_sent_in_the_last_moment_where_it_could_only_end_unconfirmed() -> None:
    step = after_failure(NotSent("refused"), writes=True, tries=1, others=1, now=9.99, deadline=10)
    assert step == GiveUp(unconfirmed=False)
    step = after_failure(NotSent("refused"), writes=False, tries=1, others=1, now=9.99, deadline=10)
    assert step == Again(after=0.0)


def test_nothing_is_sent_after_the_deadline() -> None:
    step = after_failure(NotSent("refused"), writes=True, tries=1, others=1, now=10, deadline=10)
    assert step == GiveUp(unconfirmed=False)


def test_failing_for_ever_overflows_nothing() -> None:
    endpoints = Endpoints([A])
    for _ in range(3000):
        endpoints.failed(A, now=0)
    step = after_failure(NotSent("refused"), writes=True, tries=5000, others=0, now=0, deadline=None)
    assert step == Again(after=1.0)


def test_members_come_after_what_was_given_and_before_what_failed() -> None:
    endpoints = Endpoints([A, B])
    endpoints.failed(A, now=0)
    endpoints.replace_members([C, B])
    assert endpoints.urls == (B, C, A)
    endpoints.worked(A)
    assert endpoints.urls == (A, B, C)


def test_a_member_that_is_gone_is_forgotten_unless_it_was_given() -> None:
    endpoints = Endpoints([A])
    endpoints.replace_members([A, B])
    endpoints.worked(B)
    endpoints.replace_members([])
    assert endpoints.urls == (A,)
    assert not endpoints.has_worked(B)


def test_an_endpoint_that_was_forgotten_while_it_was_asked_does_no_harm() -> None:
    endpoints = Endpoints([A])
    endpoints.failed(B, now=0)
    endpoints.worked(B)
    assert endpoints.urls == (A,)
    assert not endpoints.all_failed


def test_what_dns_says_now_replaces_what_it_said() -> None:
    endpoints = Endpoints([A, B])
    endpoints.replace_members([C])
    endpoints.failed(B, now=0)
    endpoints.replace_given([B, D])
    assert endpoints.urls == (C, D, B)
    assert endpoints.best(now=0.1) == C


def test_all_have_failed_when_none_has_answered_since() -> None:
    endpoints = Endpoints([A, B])
    endpoints.failed(A, now=0)
    assert not endpoints.all_failed
    endpoints.failed(B, now=0)
    assert endpoints.all_failed
    endpoints.worked(A)
    assert not endpoints.all_failed


@pytest.mark.parametrize(
    ("given", "advertised", "usable"),
    [
        ("https://etcd.example:1", "http://10.0.0.1:1", False),
        ("http://etcd.example:1", "https://10.0.0.1:1", False),
        ("http://etcd.example:1", "http://10.0.0.1:1", True),
        ("http://etcd.example:1", "http://localhost:1", False),
        ("http://etcd.example:1", "http://127.0.0.1:1", False),
        ("http://etcd.example:1", "http://[::1]:1", False),
        ("http://localhost:1", "http://127.0.0.1:1", True),
        ("http://[::1]:1", "http://localhost:1", True),
        ("http://127.0.0.1:1", "http://0.0.0.0:1", False),
        ("http://127.0.0.1:1", "http://[::]:1", False),
        ("http://127.0.0.1:1", "unix://x", False),
        ("http://127.0.0.1:1", "http://root:hunter2@127.0.0.1:1", False),
    ],
)
def test_only_members_that_can_be_meant_are_taken(given: str, advertised: str, usable: bool) -> None:
    assert usable_members([advertised], [given]) == ([advertised] if usable else [])
