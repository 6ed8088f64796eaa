from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from etcdorm.errors import UsageError
from etcdorm.v2 import Client
from etcdorm.v2.tls import explain, is_refusal, is_refused_certificate, make_context
from tests.support.tls import Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("localhost")


def test_the_defaults_need_no_context_of_their_own() -> None:
    assert make_context(None, None, ssl.CERT_REQUIRED) is None


@pytest.mark.parametrize("verify", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL, True])
def test_servers_are_checked(authority: Authority, verify: ssl.VerifyMode | bool) -> None:
    context = make_context(None, authority.cert, verify)
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("verify", [ssl.CERT_NONE, False])
def test_servers_are_not_checked_when_told_so(verify: ssl.VerifyMode | bool) -> None:
    context = make_context(None, None, verify)
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_a_private_ca_is_the_only_one_that_is_trusted(authority: Authority) -> None:
    context = make_context(None, authority.cert, True)
    assert context is not None
    assert len(context.get_ca_certs()) == 1


def test_a_certificate_comes_in_one_file_or_two(pair: Pair) -> None:
    assert make_context(pair.both, None, True) is not None
    assert make_context(str(pair.both), None, True) is not None
    assert make_context((pair.cert, pair.key), None, True) is not None


def test_a_file_that_is_missing_is_named_when_the_client_is_made(tmp_path: Path, pair: Pair) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(UsageError, match=rf"ca_cert: {missing} can't be read: No such file"):
        Client(protocol="https", ca_cert=missing)
    with pytest.raises(UsageError, match=rf"cert: {missing} can't be read: No such file"):
        Client(protocol="https", cert=missing)
    with pytest.raises(UsageError, match=rf"cert: {missing} can't be read: No such file"):
        Client(protocol="https", cert=(pair.cert, missing))


def test_a_file_that_is_none_of_its_kind_is_named(tmp_path: Path, pair: Pair) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("hello")
    with pytest.raises(UsageError, match=rf"ca_cert: {junk} can't be used as PEM file of CA certificates"):
        make_context(None, junk, True)
    with pytest.raises(UsageError, match=rf"cert: {junk} can't be used as PEM file of the certificate and its key"):
        make_context(junk, None, True)
    with pytest.raises(UsageError, match=rf"cert: {pair.cert} can't be used as PEM file of the certificate and its"):
        make_context(pair.cert, None, True)


def test_a_key_of_another_certificate_is_told(pair: Pair, authority: Authority) -> None:
    other = authority.issue("other.example")
    with pytest.raises(UsageError, match="the key is not that of the certificate"):
        make_context((pair.cert, other.key), None, True)


def test_an_encrypted_key_is_told_and_nobody_is_asked(tmp_path: Path, pair: Pair) -> None:
    key = load_pem_private_key(pair.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"hunter2"))
    )
    with pytest.raises(UsageError, match=rf"the key in {encrypted} is encrypted"):
        make_context((pair.cert, encrypted), None, True)


def test_files_for_tls_without_tls_are_refused(authority: Authority, pair: Pair) -> None:
    missing = "protocol='https' is missing"
    with pytest.raises(UsageError, match=missing):
        Client("etcd.example", ca_cert=authority.cert)
    with pytest.raises(UsageError, match=missing):
        Client("http://etcd.example:2379", cert=pair.both)
    with pytest.raises(UsageError, match=missing):
        Client("etcd.example", ssl_verify=False)
    with pytest.raises(UsageError, match=missing):
        Client(srv_domain="example.com", protocol="http", ca_cert=authority.cert)


def test_a_url_that_contradicts_the_protocol_is_refused() -> None:
    with pytest.raises(UsageError, match="protocol='https' contradicts an endpoint whose URL begins with http://"):
        Client("http://etcd.example:2379", protocol="https")


def error(kind: type[ssl.SSLError], reason: str) -> ssl.SSLError:
    found = kind(1, reason)
    found.reason = reason
    return found


@pytest.mark.parametrize(
    "reason", ["SSLV3_ALERT_BAD_CERTIFICATE", "TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA"]
)
def test_an_alert_about_the_clients_certificate_is_known_for_one(reason: str) -> None:
    assert is_refused_certificate(error(ssl.SSLError, reason))
    assert "cert=(certificate, key)" in explain(error(ssl.SSLError, reason))


@pytest.mark.parametrize(
    "other", [None, OSError("alert certificate"), error(ssl.SSLError, "TLSV1_ALERT_INTERNAL_ERROR")]
)
def test_other_errors_are_no_refused_certificate(other: BaseException | None) -> None:
    assert not is_refused_certificate(other)


def test_a_connection_that_broke_off_is_no_refusal() -> None:
    assert not is_refusal(error(ssl.SSLEOFError, "UNEXPECTED_EOF_WHILE_READING"))
    assert is_refusal(error(ssl.SSLError, "WRONG_VERSION_NUMBER"))


def test_a_port_without_tls_is_told() -> None:
    assert "does not speak TLS" in explain(error(ssl.SSLError, "WRONG_VERSION_NUMBER"))
