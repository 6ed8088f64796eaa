"""Which endpoint to ask, and in which order. Pure: it holds no connection, and is told the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
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
            "where it would end in logs; they have parameters of their own, username and password"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"the endpoint {url!r} is not a URL like http://127.0.0.1:2379")
    if parts.query or parts.fragment:
        raise UsageError(f"the endpoint {url!r} has a query or a fragment, which an endpoint can't have")
    return url.rstrip("/")


def endpoint_url(host: str | tuple[str, int], port: int, protocol: str | None) -> str:
    """The URL that a host, as a user names it, stands for; a URL is left as it is.

    Raises: UsageError; also for a URL of another scheme than the ``protocol`` that was named.
    """
    if isinstance(host, tuple):
        host, port = host
    if "://" in host:
        if protocol is not None and urlsplit(host).scheme != protocol:
            scheme = host.partition("://")[0]
            raise UsageError(f"protocol={protocol!r} contradicts an endpoint whose URL begins with {scheme}://")
        return host
    if "@" in host:
        raise UsageError("a host can't carry a user name or password, where it would end in logs")
    if ":" in host and not host.startswith("["):
        if host.count(":") == 1:
            raise UsageError(f"the host {host!r} names a port; give a URL (http://{host}), or host and port apart")
        host = f"[{host}]"
    return f"{protocol or 'http'}://{host}:{port}"


def endpoint_urls(
    host: str | Sequence[str] | Sequence[tuple[str, int]], port: int, protocol: str | None
) -> tuple[str, ...]:
    """The endpoints that a client's ``host``, ``port`` and ``protocol`` name.

    Raises: UsageError, also when there is none.
    """
    hosts = [host] if isinstance(host, str) else host
    urls = dict.fromkeys(check_endpoint(endpoint_url(each, port, protocol)) for each in hosts)
    if not urls:
        raise UsageError("no endpoint was given; an endpoint is a URL like http://127.0.0.1:2379")
    return tuple(urls)


class Endpoints:
    """Endpoints in the order of their health: the one that answered last comes first, failed ones wait a while.

    They come from two sides: those that were *given*, by the user or by DNS, and those that the cluster says its
    *members* have. One that is of neither side any more is forgotten.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self._given = tuple(dict.fromkeys(given))
        self._members: tuple[str, ...] = ()
        self._order = list(self._given)
        self._failures: dict[str, int] = {}
        self._ready_at: dict[str, float] = {}
        self._proven: set[str] = set()
        self.failed_count = 0
        """How often an endpoint has failed, over all of them and for ever."""

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._order)

    @property
    def given(self) -> tuple[str, ...]:
        return self._given

    @property
    def members(self) -> tuple[str, ...]:
        return self._members

    @property
    def all_failed(self) -> bool:
        """Whether there is none that has not failed since it last answered."""
        return len(self._failures) == len(self._order)

    def best(self, now: float) -> str:
        """The first endpoint that is not in its pause, else the one whose pause ends soonest."""
        for url in self._order:
            if self._ready_at.get(url, 0.0) <= now:
                return url
        return min(self._order, key=self._ready_at.__getitem__)

    def worked(self, url: str) -> None:
        if self._order[0] == url and url in self._proven and not self._failures.get(url):
            return
        if url in self._order:  # it may have been forgotten while it was asked
            self._proven.add(url)
            self._failures.pop(url, None)
            self._ready_at.pop(url, None)
            self._order.remove(url)
            self._order.insert(0, url)

    def failed(self, url: str, now: float) -> None:
        """Put an endpoint aside for a pause that grows with each failure in a row."""
        self.failed_count += 1
        if url not in self._order:
            return
        failures = self._failures.get(url, 0)
        self._failures[url] = failures + 1
        doubled = min(failures, 10)  # by then the pause has its full length
        self._ready_at[url] = now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**doubled)
        self._order.remove(url)
        self._order.append(url)

    def has_worked(self, url: str) -> bool:
        """Whether this endpoint has ever answered."""
        return url in self._proven

    def replace_given(self, urls: Iterable[str]) -> None:
        """Take what DNS says now for what was given."""
        self._given = tuple(dict.fromkeys(urls))
        self._sort_in()

    def replace_members(self, urls: Iterable[str]) -> None:
        """Take what the cluster says now of its members."""
        self._members = tuple(dict.fromkeys(urls))
        self._sort_in()

    def _sort_in(self) -> None:
        wanted = dict.fromkeys((*self._given, *self._members))
        for url in [url for url in self._order if url not in wanted]:
            self._order.remove(url)
            self._proven.discard(url)
            self._failures.pop(url, None)
            self._ready_at.pop(url, None)
        # New ones go before those that failed: there is no word against them yet.
        healthy = [url for url in self._order if url not in self._failures]
        failed = [url for url in self._order if url in self._failures]
        self._order = [*healthy, *(url for url in wanted if url not in self._order), *failed]


def usable_members(urls: Iterable[str], given: Iterable[str]) -> list[str]:
    """Of the client URLs that members advertise, those that may be asked where ``given`` may be.

    Left out are those of another scheme (https is never given up for http), those without an address (0.0.0.0), and
    those on the loopback, unless what was given is there as well: etcd advertises http://localhost:2379 by default,
    and that is another machine for every machine.
    """
    references = [urlsplit(url) for url in given]
    schemes = {each.scheme for each in references}
    near = any(_is_loopback(each.hostname or "") for each in references)
    found: dict[str, None] = {}
    for url in urls:
        try:
            checked = check_endpoint(url)
        except UsageError:
            continue
        parts = urlsplit(checked)
        host = parts.hostname or ""
        if parts.scheme in schemes and not _is_unspecified(host) and (near or not _is_loopback(host)):
            found[checked] = None
    return list(found)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
