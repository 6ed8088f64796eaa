from __future__ import annotations

from base64 import b64decode

import pytest

from etcdorm.errors import UsageError
from etcdorm.v2 import Client
from etcdorm.v2.credentials import Secret, SecretBytes, basic_auth


def decoded(header: str | None) -> str:
    assert header is not None
    return b64decode(header.removeprefix("Basic ")).decode()


@pytest.mark.parametrize("password", ["secret", "with:colons:", "pä$$ €", "", " "])
def test_the_header_carries_both(password: str) -> None:
    assert decoded(basic_auth("josé", password)) == f"josé:{password}"


def test_without_either_there_is_no_header() -> None:
    assert basic_auth(None, None) is None


def test_one_without_the_other_is_refused() -> None:
    with pytest.raises(UsageError, match="password is missing"):
        Client(username="root")
    with pytest.raises(UsageError, match="username is missing"):
        Client(password="hunter2")
    with pytest.raises(UsageError, match="username is missing"):
        Client(username="", password="hunter2")


@pytest.mark.parametrize("username", ["a:b", "\udc80"])
def test_a_user_name_that_can_not_be_sent_is_refused(username: str) -> None:
    with pytest.raises(UsageError, match="username") as refused:
        basic_auth(username, "hunter2")
    assert "hunter2" not in str(refused.value)


def test_a_password_that_can_not_be_sent_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        basic_auth("root", "hunter2\udc80")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_a_secret_shows_in_no_repr() -> None:
    assert "hunter2" not in repr({"a": Secret("hunter2"), "b": SecretBytes(b"hunter2")})
    assert Secret("hunter2") == "hunter2"
