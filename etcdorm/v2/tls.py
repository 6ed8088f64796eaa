"""TLS: how a server is checked, what this client shows of itself, and what a handshake that failed means. No I/O but
reading the files."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from etcdorm.errors import UsageError

File = str | os.PathLike[str]

_NO_TLS_THERE = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")
_BROKE_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError)


def make_context(
    cert: File | tuple[File, File] | None, ca_cert: File | None, ssl_verify: ssl.VerifyMode | bool
) -> ssl.SSLContext | None:
    """The context that stands for these parameters of a client; None where they are the defaults.

    ``ca_cert`` replaces the system's CAs: whoever names the CA of a cluster does not want all others to vouch for it.
    Raises: UsageError naming the parameter and the file.
    """
    verifies = bool(ssl_verify)  # CERT_NONE is 0; for a client, the other two are the same
    if cert is None and ca_cert is None and verifies:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_cert)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise _unusable(
            "ca_cert", (ca_cert,) if ca_cert is not None else (), error, "PEM file of CA certificates"
        ) from error
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        _load(context, cert)
    return context


def _load(context: ssl.SSLContext, cert: File | tuple[File, File]) -> None:
    files = cert if isinstance(cert, tuple) else (cert,)
    if not 1 <= len(files) <= 2:
        raise UsageError(f"cert is a path, or a pair of the paths of the certificate and its key, not {len(files)}")
    asked = False

    def no_password() -> str:
        # OpenSSL would ask on the terminal instead.
        nonlocal asked
        asked = True
        return ""

    try:
        context.load_cert_chain(files[0], files[-1] if len(files) == 2 else None, password=no_password)
    except (OSError, ValueError, TypeError) as error:
        if asked:
            raise UsageError(
                f"cert: the key in {files[-1]} is encrypted; give a decrypted one that nobody else can read"
            ) from None
        kind = "PEM file of the certificate" + ("" if len(files) == 2 else " and its key")
        raise _unusable("cert", files, error, kind) from error


def _unusable(parameter: str, files: tuple[File, ...], error: Exception, kind: str) -> UsageError:
    for file in files:
        try:
            Path(file).open("rb").close()
        except (OSError, ValueError) as unreadable:
            reason = unreadable.strerror if isinstance(unreadable, OSError) else str(unreadable)
            return UsageError(f"{parameter}: {os.fspath(file)} can't be read: {reason}")
    names = " and ".join(os.fspath(file) for file in files)
    reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
    if reason == "KEY_VALUES_MISMATCH":
        reason = "the key is not that of the certificate"
    return UsageError(f"{parameter}: {names} can't be used as {kind}: {reason}")


def is_refusal(error: ssl.SSLError) -> bool:
    """Whether one side said no in the handshake, so that trying again does not help; it may as well have broken off."""
    return not isinstance(error, _BROKE_OFF)


def is_refused_certificate(error: BaseException | None) -> bool:
    """Whether the server's alert is about the client's certificate.

    With TLS 1.3 it arrives when the client takes the handshake for done, with a request sent already; the server ends
    such a connection before it reads any of that.
    """
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    return isinstance(reason, str) and "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason)


def explain(error: ssl.SSLError) -> str:
    """What went wrong, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = error.verify_message
        if "ostname mismatch" in what or "IP address mismatch" in what:
            return f"its certificate is for another name ({what}); name the endpoint as its certificate does"
        return f"its certificate is not trusted ({what}); name the CA that signed it as ca_cert"
    if is_refused_certificate(error):
        return (
            f"it refused the client's certificate ({_alert(error)}); give one that its CA has signed as "
            "cert=(certificate, key)"
        )
    reason = error.reason or str(error)
    if any(part in reason for part in _NO_TLS_THERE):
        return f"it does not speak TLS ({reason}); if plain HTTP is meant, its URL begins with http://"
    return f"the TLS handshake failed ({_alert(error)})"


def _alert(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
