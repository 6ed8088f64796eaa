"""A user name and a password as the header they are sent in, kept out of every repr."""

from __future__ import annotations

from base64 import b64encode

from etcdorm.errors import UsageError


class Secret(str):
    """A text that whoever sends it sees, and no repr shows: not its own, and none of headers or a frame's variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class SecretBytes(bytes):
    """The same for the body of a request."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


def basic_auth(username: str | None, password: str | None) -> Secret | None:
    """The value of the Authorization header; None when neither is given.

    Raises: UsageError for one without the other, and for a user name with a colon, at which etcd would cut it.
    """
    if username is None and password is None:
        return None
    if not username or password is None:
        missing = "password" if username else "username"
        raise UsageError(f"{missing} is missing: etcd needs username and password, or neither")
    if ":" in username:
        raise UsageError(f"username {username!r} has a colon, at which HTTP's Basic authentication would cut it")
    try:
        encoded = f"{username}:{password}".encode()
    except UnicodeEncodeError:
        raise UsageError("username or password holds a character that is none (a lone surrogate)") from None
    return Secret("Basic " + b64encode(encoded).decode())
