"""The TLS settings of a client as one SSL context, made with the client, so that a wrong file is told there."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from etcdorm.errors import UsageError

Cert = str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]]
"""A PEM file that holds a certificate and its key, or the files of the two."""


def ssl_context(
    cert: Cert | None, ca_cert: str | os.PathLike[str] | None, ssl_verify: ssl.VerifyMode | bool
) -> ssl.SSLContext | None:
    """The context for these settings; None when all of them are the defaults.

    Raises: UsageError for a file that can't be used; it names the parameter and the file.
    """
    verify = ssl_verify is True or ssl_verify is ssl.CERT_REQUIRED
    if not verify and ssl_verify is not False and ssl_verify is not ssl.CERT_NONE:
        raise UsageError(f"ssl_verify must be ssl.CERT_REQUIRED or ssl.CERT_NONE, or True or False, not {ssl_verify!r}")
    if cert is None and ca_cert is None and verify:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_cert)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"ca_cert: {_trouble(ca_cert, error, 'a PEM file of certificates')}") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        certificate, key = cert if isinstance(cert, tuple) else (cert, None)
        for path in (certificate, key):
            if path is not None and not Path(path).is_file():
                raise UsageError(f"cert: there is no file {os.fspath(path)!r}")
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            what = "a PEM file with a certificate and, there or in a file of its own, the key that belongs to it"
            raise UsageError(f"cert: {_trouble(certificate, error, what)}") from error
    return context


def _trouble(path: str | os.PathLike[str] | None, error: OSError, wanted: str) -> str:
    name = "" if path is None else repr(os.fspath(path))
    if isinstance(error, FileNotFoundError):
        return f"there is no file {name}"
    return f"{name} is not {wanted} ({getattr(error, 'reason', None) or error.strerror or type(error).__name__})"


def _no_password() -> str:
    raise UsageError("cert: the key is encrypted; etcdorm takes an unencrypted one (openssl pkey -in KEY -out PLAIN)")
