"""What is kept current: feeds, live values and tables, on one watch for all who look at the same records."""

from etcdorm.live.feed import Feed, OnBehind
from etcdorm.live.hub import Hubs
from etcdorm.live.lastgood import Keeper, LastGood
from etcdorm.live.live import Live
from etcdorm.live.table import Table

__all__ = ["Feed", "Hubs", "Keeper", "LastGood", "Live", "OnBehind", "Table"]
