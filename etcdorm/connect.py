"""``connect``: an endpoint in, a session out. Here the parts are put together."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from etcdorm.embedded import EtcdServer
from etcdorm.errors import UsageError
from etcdorm.session import Session
from etcdorm.v2 import Client, Observer
from etcdorm.v2.store import V2Store
from etcdorm.v2.tls import Cert

EMBEDDED = "embedded:"


@asynccontextmanager
async def connect(
    endpoints: str | Sequence[str],
    *,
    timeout: float = 10.0,
    username: str | None = None,
    password: str | None = None,
    cert: Cert | None = None,
    ca_cert: str | os.PathLike[str] | None = None,
    ssl_verify: ssl.VerifyMode | bool = ssl.CERT_REQUIRED,
    observers: Sequence[Observer] = (),
) -> AsyncIterator[Session]:
    """A session on an etcd cluster: ``async with connect("http://127.0.0.1:2379") as session``.

    ``endpoints`` is a URL, or several of one cluster; or ``"embedded:"`` for an etcd that is started for this session
    and ends with it, with ``"embedded:./data"`` for one that keeps its data in that directory. Nothing is asked of the
    cluster before the first call. ``username`` and ``password`` are those of an etcd user. For https, ``ca_cert`` is a
    PEM file of the CAs to trust, ``cert`` this client's own certificate and key (a PEM file, or a pair of files), and
    ``ssl_verify=False`` trusts anybody. ``observers`` are told of every call to etcd (``etcdorm.v2.observers``).
    Units: ``timeout`` in seconds, the deadline of each call of the session over all endpoints and tries.
    Raises: UsageError for what is no endpoint; ServerError when an embedded etcd can't be started.
    """

    def session(urls: str | Sequence[str]) -> Session:
        client = Client(
            check_endpoints(urls),
            timeout=timeout,
            username=username,
            password=password,
            cert=cert,
            ca_cert=ca_cert,
            ssl_verify=ssl_verify,
            observers=observers,
        )
        return Session(V2Store(client, timeout=timeout), timeout=timeout)

    if isinstance(endpoints, str) and endpoints.startswith(EMBEDDED):
        directory = endpoints.removeprefix(EMBEDDED)
        if directory.startswith("//"):
            raise UsageError(
                f"{endpoints!r}: what follows {EMBEDDED!r} is a directory, as in 'embedded:./data', no URL"
            )
        async with EtcdServer(data_dir=directory or None) as server, session(server.url) as opened:
            yield opened
    else:
        async with session(endpoints) as opened:
            yield opened


def check_endpoints(endpoints: str | Sequence[str]) -> Sequence[str]:
    """The URLs of a cluster, several or one.

    Raises: UsageError for what is no URL.
    """
    urls = [endpoints] if isinstance(endpoints, str) else endpoints
    if not isinstance(urls, Sequence) or not all(isinstance(url, str) for url in urls):
        raise UsageError(f"endpoints are a URL or a list of URLs, not {type(endpoints).__name__}")
    for url in urls:
        if "://" not in url:
            raise UsageError(
                f"{url!r} is no endpoint: it should be a URL like http://127.0.0.1:2379, or {EMBEDDED!r} to start one"
            )
    return urls
