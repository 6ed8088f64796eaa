"""The markers, as mypy sees them: a marked field keeps its type. It is the checking of this file that is the test."""

from __future__ import annotations

from typing import Annotated, assert_type

from pydantic import SecretStr

from etcdorm import AsJson, EtcdModel, KeyName, Merge, Sensitive


class Node(EtcdModel, path="/nodes/{name}", extra="allow"):
    name: str
    host: Annotated[str, KeyName("host-name")]
    token: Annotated[str, Sensitive()] | None = None
    labels: Annotated[dict[str, int], AsJson(), Sensitive(), Merge("union")] = {}
    password: SecretStr = SecretStr("")


def fields(node: Node) -> None:
    assert_type(node.host, str)
    assert_type(node.token, str | None)
    assert_type(node.labels, dict[str, int])
    assert_type(node.password.get_secret_value(), str)
    assert_type(KeyName("x").name, str)


def wrong() -> None:
    KeyName()  # type: ignore[call-arg]
    KeyName(5)  # type: ignore[arg-type]
    Sensitive("x")  # type: ignore[call-arg]
