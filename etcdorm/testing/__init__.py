"""For the tests of programs that use etcdorm: real etcd servers that come and go with the test."""

from etcdorm.embedded import EtcdBinary, EtcdServer, find_binary

__all__ = ["EtcdBinary", "EtcdServer", "find_binary"]
