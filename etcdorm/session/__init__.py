"""The session: models in and out of a store. It plans with the mapping, then acts on the port."""

from etcdorm.session.sequence import LATEST, Tail
from etcdorm.session.session import LOCKS, Session

__all__ = ["LATEST", "LOCKS", "Session", "Tail"]
