"""Coordination on the store port alone, without models."""

from etcdorm.recipes.lock import Held, Lock

__all__ = ["Held", "Lock"]
