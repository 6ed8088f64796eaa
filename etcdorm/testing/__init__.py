"""For the tests of programs that use etcdorm: real etcd servers that come and go with the test, and faults."""

from etcdorm.embedded import EtcdBinary, EtcdCluster, EtcdServer, find_binary
from etcdorm.testing.faults import Fate, FaultProxy, Seen

__all__ = ["EtcdBinary", "EtcdCluster", "EtcdServer", "Fate", "FaultProxy", "Seen", "find_binary"]
