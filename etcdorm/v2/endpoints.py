"""Which endpoint to ask, and in which order. Pure: it holds no connection, and is told the time."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from etcdorm.errors import UsageError

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


def check_endpoint(url: str) -> str:
    """An endpoint's URL without a slash at its end.

    Raises: UsageError for anything but http(s)://host[:port][/prefix]; a password in the URL is never repeated.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(
            "an endpoint's URL can't be read; it should look like http://127.0.0.1:2379, and several are a list of such"
        ) from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"the endpoint {parts.scheme}://…@{parts.hostname}:{port} carries a user name or password in its URL, "
            "where it would end in logs"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"the endpoint {url!r} is not a URL like http://127.0.0.1:2379")
    if parts.query or parts.fragment:
        raise UsageError(f"the endpoint {url!r} has a query or a fragment, which an endpoint can't have")
    return url.rstrip("/")


class Endpoints:
    """Endpoints in the order of their health: the one that answered last comes first, failed ones wait a while."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._order = list(dict.fromkeys(check_endpoint(url) for url in urls))
        if not self._order:
            raise UsageError("no endpoint was given; an endpoint is a URL like http://127.0.0.1:2379")
        self._failures = dict.fromkeys(self._order, 0)
        self._ready_at = dict.fromkeys(self._order, 0.0)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._order)

    def best(self, now: float) -> str:
        """The first endpoint that is not in its pause, else the one whose pause ends soonest."""
        for url in self._order:
            if self._ready_at[url] <= now:
                return url
        return min(self._order, key=self._ready_at.__getitem__)

    def worked(self, url: str) -> None:
        if self._failures[url] or self._order[0] != url:
            self._failures[url] = 0
            self._ready_at[url] = 0.0
            self._order.remove(url)
            self._order.insert(0, url)

    def failed(self, url: str, now: float) -> None:
        """Put an endpoint aside for a pause that grows with each failure in a row."""
        self._failures[url] += 1
        doubled = min(self._failures[url] - 1, 10)  # by then the pause has its full length
        self._ready_at[url] = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**doubled)
        self._order.remove(url)
        self._order.append(url)
