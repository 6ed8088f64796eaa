"""From a client's parameters to where its endpoints come from. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from etcdorm.errors import UsageError
from etcdorm.v2.discovery import Discovery
from etcdorm.v2.endpoints import endpoint_urls

HERE = "127.0.0.1"
"""The host where none is named."""


def endpoints_of(
    host: str | Sequence[str] | Sequence[tuple[str, int]],
    port: int,
    *,
    protocol: str | None,
    srv_domain: str | None,
    srv_nameservers: Sequence[str],
    has_tls_parameters: bool,
) -> tuple[tuple[str, ...], Discovery | None]:
    """The endpoints that are named, or else what finds them.

    Whoever gives a CA or a certificate means TLS: then SRV records without it don't count, and at least one of the
    endpoints that are named must have it.
    Raises: UsageError.
    """
    if protocol not in (None, "http", "https"):
        raise UsageError(f"protocol is 'http' or 'https', not {protocol!r}")
    plain = UsageError("cert, ca_cert and ssl_verify are for TLS, and nothing here has it: protocol='https' is missing")
    if srv_domain is None:
        if srv_nameservers:
            raise UsageError("srv_nameservers are asked about srv_domain, which is missing")
        urls = endpoint_urls(host, port, protocol)
        if has_tls_parameters and not any(url.startswith("https:") for url in urls):
            raise plain
        return urls, None
    if host != HERE:
        raise UsageError("host and srv_domain can't both be given: the domain's SRV records name the hosts")
    if has_tls_parameters and protocol == "http":
        raise plain
    only = "https" if has_tls_parameters else protocol
    return (), Discovery(srv_domain, protocol=only, nameservers=srv_nameservers)
