from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from etcdorm.errors import UsageError
from etcdorm.v2 import Client
from etcdorm.v2.discovery import Service, in_order, nameserver


def service(target: str, priority: int = 0, weight: int = 0) -> Service:
    return Service(priority, weight, target, 2379)


def test_a_lower_priority_comes_first_whatever_its_weight() -> None:
    services = [service("c", 20, 100), service("a", 5, 0), service("b", 10, 1)]
    assert [each.target for each in in_order(services, Random(1))] == ["a", "b", "c"]


def test_within_a_priority_the_weight_is_the_share_of_first_places() -> None:
    services = [service("light", weight=10), service("heavy", weight=90)]
    random = Random(1)
    first = Counter(in_order(services, random)[0].target for _ in range(2000))
    assert 1700 < first["heavy"] < 1900


def test_without_weights_all_have_the_same_share() -> None:
    services = [service("a"), service("b"), service("c")]
    random = Random(1)
    first = Counter(in_order(services, random)[0].target for _ in range(3000))
    assert all(850 < count < 1150 for count in first.values())


def test_no_service_gets_lost() -> None:
    services = [service(str(number), number % 3, number % 4) for number in range(20)]
    assert sorted(in_order(services, Random(1)), key=str) == sorted(services, key=str)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("127.0.0.1", "127.0.0.1", 53),
        ("127.0.0.1:5353", "127.0.0.1", 5353),
        ("::1", "::1", 53),
        ("[::1]", "::1", 53),
        ("[::1]:5353", "::1", 5353),
    ],
)
def test_a_nameserver_is_an_address_with_a_port_or_without(text: str, address: str, port: int) -> None:
    found = nameserver(text)
    assert (found.address, found.port) == (address, port)


@pytest.mark.parametrize(
    "text", ["", "dns.example", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "[127.0.0.1", "a:b"]
)
def test_what_is_no_nameserver_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="srv_nameservers"):
        nameserver(text)


@pytest.mark.parametrize("domain", ["", ".", "a..b", "x" * 64])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(UsageError, match="srv_domain"):
        Client(srv_domain=domain)


def test_parameters_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="host and srv_domain can't both be given"):
        Client("http://etcd.example:2379", srv_domain="example.com")
    with pytest.raises(UsageError, match="srv_domain, which is missing"):
        Client(srv_nameservers=["127.0.0.1"])
    with pytest.raises(UsageError, match="not one text"):
        Client(srv_domain="example.com", srv_nameservers="127.0.0.1")


def test_a_client_can_be_made_without_a_loop_and_has_no_endpoints_yet() -> None:
    client = Client(srv_domain="example.com")
    assert client.endpoints == ()
    with pytest.raises(UsageError, match="no call has asked for them yet"):
        _ = client.base_uri
