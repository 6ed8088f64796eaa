"""``connect``: an endpoint in, a session out. Here the parts are put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from etcdorm.embedded import EtcdServer
from etcdorm.errors import UsageError
from etcdorm.session import Session
from etcdorm.v2 import Client, Observer
from etcdorm.v2.store import V2Store

EMBEDDED = "embedded:"


@asynccontextmanager
async def connect(
    endpoints: str | Sequence[str], *, timeout: float = 10.0, observers: Sequence[Observer] = ()
) -> AsyncIterator[Session]:
    """A session on an etcd cluster: ``async with connect("http://127.0.0.1:2379") as session``.

    ``endpoints`` is a URL, or several of one cluster; or ``"embedded:"`` for an etcd that is started for this session
    and ends with it, with ``"embedded:./data"`` for one that keeps its data in that directory. Nothing is asked of the
    cluster before the first call. ``observers`` are told of every call to etcd (``etcdorm.v2.observers``).
    Units: ``timeout`` in seconds, the deadline of each call of the session over all endpoints and tries.
    Raises: UsageError for what is no endpoint; ServerError when an embedded etcd can't be started.
    """
    if isinstance(endpoints, str) and endpoints.startswith(EMBEDDED):
        directory = endpoints.removeprefix(EMBEDDED)
        if directory.startswith("//"):
            raise UsageError(
                f"{endpoints!r}: what follows {EMBEDDED!r} is a directory, as in 'embedded:./data', no URL"
            )
        async with (
            EtcdServer(data_dir=directory or None) as server,
            _session(server.url, timeout, observers) as session,
        ):
            yield session
    else:
        async with _session(endpoints, timeout, observers) as session:
            yield session


def _session(endpoints: str | Sequence[str], timeout: float, observers: Sequence[Observer]) -> Session:
    urls = [endpoints] if isinstance(endpoints, str) else endpoints
    if not isinstance(urls, Sequence) or not all(isinstance(url, str) for url in urls):
        raise UsageError(f"endpoints are a URL or a list of URLs, not {type(endpoints).__name__}")
    for url in urls:
        if "://" not in url:
            raise UsageError(
                f"{url!r} is no endpoint: it should be a URL like http://127.0.0.1:2379, or {EMBEDDED!r} to start one"
            )
    return Session(V2Store(Client(urls, timeout=timeout, observers=observers), timeout=timeout), timeout=timeout)
