"""The models that the integration tests save, in both layouts and one below the other."""

from __future__ import annotations

from etcdorm import EtcdModel


class Service(EtcdModel):
    """Abstract: what Node and Doc have in common, so that one test can run on both layouts."""

    name: str
    host: str = "h"
    port: int = 8080
    labels: dict[str, str] = {}


class Node(Service, path="/nodes/{name}"):
    pass


class Doc(Service, path="/docs/{name}", layout="document"):
    pass


class Settings(EtcdModel, path="/settings"):
    """No key fields: there is one record, or none."""

    debug: bool = False
    level: str | None = None


class Dc(EtcdModel, path="/dc/{dc}"):
    """Its directory holds those of Rack, and the keys of Event."""

    dc: str
    region: str = "eu"


class Rack(EtcdModel, path="/dc/{dc}/racks/{rack}"):
    dc: str
    rack: int
    units: int = 42


class Event(EtcdModel, path="/dc/{dc}/events/{id}"):
    """Appended: the store makes the id, and the record is a document."""

    dc: str
    id: str = ""
    kind: str
