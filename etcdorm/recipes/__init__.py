"""Coordination on the store port alone, without models."""

from etcdorm.recipes.held import Claim, Held, holding
from etcdorm.recipes.keeper import Keeper
from etcdorm.recipes.lease import KeptLease, Lease, Moment
from etcdorm.recipes.lock import Lock, holder

__all__ = ["Claim", "Held", "Keeper", "KeptLease", "Lease", "Lock", "Moment", "holder", "holding"]
