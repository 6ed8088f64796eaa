"""The port between a session and any etcd: what a store must be able to do, in terms of records."""

from etcdorm.store.namespace import Namespaced
from etcdorm.store.port import Observation, Store
from etcdorm.store.types import KEEP, Collection, Event, FencedRecord, Owns, Record, StaleRecord, Step, Ttl, Version

__all__ = [
    "KEEP",
    "Collection",
    "Event",
    "FencedRecord",
    "Namespaced",
    "Observation",
    "Owns",
    "Record",
    "StaleRecord",
    "Step",
    "Store",
    "Ttl",
    "Version",
]
