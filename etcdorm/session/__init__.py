"""The session: models in and out of a store. It plans with the mapping, then acts on the port."""

from etcdorm.session.election import Leadership
from etcdorm.session.fencing import LOCKS
from etcdorm.session.listing import Listing
from etcdorm.session.many import Done, Failed, Results
from etcdorm.session.migrating import KeyChange, Migrated
from etcdorm.session.registration import Registration
from etcdorm.session.sequence import LATEST, Tail
from etcdorm.session.session import Session

__all__ = [
    "LATEST",
    "LOCKS",
    "Done",
    "Failed",
    "KeyChange",
    "Leadership",
    "Listing",
    "Migrated",
    "Registration",
    "Results",
    "Session",
    "Tail",
]
