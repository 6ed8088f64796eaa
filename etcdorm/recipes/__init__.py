"""Coordination on the store port alone, without models."""

from etcdorm.recipes.keeper import Keeper
from etcdorm.recipes.lease import Lease, Moment
from etcdorm.recipes.lock import Held, Lock, holder, holding

__all__ = ["Held", "Keeper", "Lease", "Lock", "Moment", "holder", "holding"]
