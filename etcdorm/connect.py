"""``connect``: an endpoint in, a session out. Here the parts are put together."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from etcdorm.embedded import EtcdServer
from etcdorm.errors import UsageError
from etcdorm.mapping.schema import Layout
from etcdorm.session import Session
from etcdorm.v2 import Client, Observer
from etcdorm.v2.store import V2Store

EMBEDDED = "embedded:"

_File = str | os.PathLike[str]


@asynccontextmanager
async def connect(
    endpoints: str | Sequence[str] | None = None,
    *,
    srv_domain: str | None = None,
    srv_nameservers: Sequence[str] = (),
    protocol: Literal["http", "https"] | None = None,
    cert: _File | tuple[_File, _File] | None = None,
    ca_cert: _File | None = None,
    ssl_verify: ssl.VerifyMode | bool = ssl.CERT_REQUIRED,
    username: str | None = None,
    password: str | None = None,
    allow_reconnect: bool = False,
    expected_cluster_id: str | None = None,
    timeout: float = 10.0,
    layout: Layout = "directory",
    ttl: int | None = None,
    namespace: str | None = None,
    observers: Sequence[Observer] = (),
) -> AsyncIterator[Session]:
    """A session on an etcd cluster: ``async with connect("http://127.0.0.1:2379") as session``.

    ``endpoints`` is a URL, or several of one cluster; or ``"embedded:"`` for an etcd that is started for this session
    and ends with it, with ``"embedded:./data"`` for one that keeps its data in that directory. Or the endpoints are the
    SRV records of ``srv_domain``. ``layout`` and ``ttl`` are for classes that say nothing of them. With a
    ``namespace``, a path as ``/team-a``, all that the session reads and writes lies below it (docs/namespaces.md). The
    other parameters are those of ``etcdorm.v2.Client``. Nothing is asked of the cluster before the first call.
    Units: ``ttl`` in whole seconds; ``timeout`` in seconds, the deadline of each call of the session over all endpoints
        and tries.
    Raises: UsageError for what is no endpoint or namespace, and for files that can't be used; ServerError when an
        embedded etcd can't be started.
    """

    def open_session(urls: Sequence[str] | None) -> Session:
        if urls is None and srv_domain is None:
            raise UsageError("connect needs endpoints, as http://127.0.0.1:2379, or srv_domain")
        if urls is not None and srv_domain is not None:
            raise UsageError("endpoints and srv_domain can't both be given: the domain's SRV records are the endpoints")
        client = Client(
            *(() if urls is None else (urls,)),
            srv_domain=srv_domain,
            srv_nameservers=srv_nameservers,
            protocol=protocol,
            cert=cert,
            ca_cert=ca_cert,
            ssl_verify=ssl_verify,
            username=username,
            password=password,
            allow_reconnect=allow_reconnect,
            expected_cluster_id=expected_cluster_id,
            timeout=timeout,
            observers=observers,
        )
        return Session(V2Store(client, timeout=timeout), timeout=timeout, layout=layout, ttl=ttl, namespace=namespace)

    if isinstance(endpoints, str) and endpoints.startswith(EMBEDDED):
        directory = endpoints.removeprefix(EMBEDDED)
        if directory.startswith("//"):
            raise UsageError(
                f"{endpoints!r}: what follows {EMBEDDED!r} is a directory, as in 'embedded:./data', no URL"
            )
        async with EtcdServer(data_dir=directory or None) as server, open_session([server.url]) as session:
            yield session
    else:
        async with open_session(_urls(endpoints)) as session:
            yield session


def _urls(endpoints: str | Sequence[str] | None) -> Sequence[str] | None:
    urls = [endpoints] if isinstance(endpoints, str) else endpoints
    if urls is None:
        return None
    if not isinstance(urls, Sequence) or not all(isinstance(url, str) for url in urls):
        raise UsageError(f"endpoints are a URL or a list of URLs, not {type(endpoints).__name__}")
    for url in urls:
        if "://" not in url:
            raise UsageError(
                f"{url!r} is no endpoint: it should be a URL like http://127.0.0.1:2379, or {EMBEDDED!r} to start one"
            )
    return urls
