"""What can be a namespace."""

from __future__ import annotations

import pytest

from etcdorm import Session, UsageError, connect
from etcdorm.store import Namespaced, Store
from etcdorm.v2 import Client
from etcdorm.v2.store import V2Store


def v2() -> Store:
    return V2Store(Client("http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("given", "namespace"),
    [
        ("/team-a", "/team-a"),
        ("/teams/a/", "/teams/a"),
        ("/_hidden", "/_hidden"),
        ("/teams/größe 1%", "/teams/größe 1%"),
    ],
)
def test_a_path_below_the_root_can_be_a_namespace(given: str, namespace: str) -> None:
    assert Session(v2(), namespace=given).namespace == namespace


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "must start with '/'"),
        ("team-a", "must start with '/'"),
        ("/", "leave it out"),
        ("/a//b", "segment ''"),
        ("/a/../b", "segment '..'"),
        ("/a/@commit", "kept for etcdorm's own keys"),
        ("/_etcdorm/locks", "kept for etcdorm's own keys"),
        ("/teams/{team}", "fill it in"),
        (7, "not a int"),
    ],
)
def test_what_can_not_be_a_namespace_is_told_why(given: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Session(v2(), namespace=given)


async def test_connect_refuses_it_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match="must start with '/'"):
        async with connect("http://127.0.0.1:1", namespace="team-a"):
            pass


def test_a_session_without_a_namespace_has_none() -> None:
    assert Session(v2()).namespace is None


def test_a_namespace_within_another_is_one() -> None:
    assert Session(Namespaced(v2(), "/a"), namespace="/b/c").namespace == "/a/b/c"
