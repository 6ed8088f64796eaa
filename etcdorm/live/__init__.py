"""What is kept current: feeds, live values and tables, on one watch for all who look at the same records."""

from etcdorm.live.feed import Feed, OnBehind
from etcdorm.live.hub import Hubs

__all__ = ["Feed", "Hubs", "OnBehind"]
