"""The port between a session and any etcd: what a store must be able to do, in terms of records."""

from etcdorm.store.namespace import Namespaced
from etcdorm.store.port import Store
from etcdorm.store.types import KEEP, Collection, Event, Owns, Record, StaleRecord, Ttl, Version

__all__ = ["KEEP", "Collection", "Event", "Namespaced", "Owns", "Record", "StaleRecord", "Store", "Ttl", "Version"]
