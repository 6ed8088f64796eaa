"""One class of records in two generations, as old and new code have it while a service is being deployed."""

from __future__ import annotations

from etcdorm import EtcdModel, Values, upgrade


class Old(EtcdModel, path="/nodes/{name}"):
    name: str
    address: str = "h:80"
    count: int = 0
    labels: dict[str, str] = {}


class New(EtcdModel, path="/nodes/{name}", version=2):
    name: str
    host: str = "h"
    port: int = 80
    count: int = 0
    labels: dict[str, str] = {}

    @upgrade(1)
    @staticmethod
    def split_address(values: Values) -> None:
        host, _, port = str(values.pop("address")).partition(":")
        values["host"], values["port"] = host, int(port)
