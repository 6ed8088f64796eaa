"""A real etcd, started here for as long as it is needed; for development and tests, not for data that matters."""

from etcdorm.embedded.binary import EtcdBinary, find_binary
from etcdorm.embedded.cluster import EtcdCluster
from etcdorm.embedded.server import EtcdServer

__all__ = ["EtcdBinary", "EtcdCluster", "EtcdServer", "find_binary"]
