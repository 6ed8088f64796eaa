"""The session: models in and out of a store. It plans with the mapping, then acts on the port."""

from etcdorm.session.listing import Listing
from etcdorm.session.many import Done, Failed, Results
from etcdorm.session.migrating import KeyChange, Migrated
from etcdorm.session.sequence import LATEST, Tail
from etcdorm.session.session import LOCKS, Session

__all__ = ["LATEST", "LOCKS", "Done", "Failed", "KeyChange", "Listing", "Migrated", "Results", "Session", "Tail"]
