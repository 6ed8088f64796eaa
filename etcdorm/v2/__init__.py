"""A client of etcd's v2 API, usable without any model; ``import etcdorm.v2 as etcd``."""

from etcdorm.v2.auth import Auth, EtcdRole, EtcdUser
from etcdorm.v2.client import Client
from etcdorm.v2.cluster import Member
from etcdorm.v2.errors import (
    EtcdAlreadyExist,
    EtcdClusterIdChanged,
    EtcdCompareFailed,
    EtcdConnectionFailed,
    EtcdDirNotEmpty,
    EtcdEventIndexCleared,
    EtcdException,
    EtcdInsufficientPermissions,
    EtcdKeyError,
    EtcdKeyNotFound,
    EtcdLeaderElectionInProgress,
    EtcdLockExpired,
    EtcdMisconfigured,
    EtcdNotDir,
    EtcdNotFile,
    EtcdProtocolError,
    EtcdRefused,
    EtcdRootReadOnly,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EtcdValueError,
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
    StopWatching,
)
from etcdorm.v2.eternal import EternalWatch
from etcdorm.v2.lock import Lock
from etcdorm.v2.observers import Call, Observer
from etcdorm.v2.result import EtcdResult

__all__ = [
    "Auth",
    "Call",
    "Client",
    "EtcdAlreadyExist",
    "EtcdClusterIdChanged",
    "EtcdCompareFailed",
    "EtcdConnectionFailed",
    "EtcdDirNotEmpty",
    "EtcdEventIndexCleared",
    "EtcdException",
    "EtcdInsufficientPermissions",
    "EtcdKeyError",
    "EtcdKeyNotFound",
    "EtcdLeaderElectionInProgress",
    "EtcdLockExpired",
    "EtcdMisconfigured",
    "EtcdNotDir",
    "EtcdNotFile",
    "EtcdProtocolError",
    "EtcdRefused",
    "EtcdResult",
    "EtcdRole",
    "EtcdRootReadOnly",
    "EtcdUnavailable",
    "EtcdUnconfirmed",
    "EtcdUser",
    "EtcdValueError",
    "EtcdWatchTimedOut",
    "EtcdWatcherCleared",
    "EternalWatch",
    "Lock",
    "Member",
    "Observer",
    "StopWatching",
]
