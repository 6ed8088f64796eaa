"""The public names. A change here is a change for users: it belongs into the changelog."""

from __future__ import annotations

import importlib
import inspect
from importlib.resources import files

import pytest

import etcdorm
import etcdorm.errors
import etcdorm.testing
import etcdorm.v2
import etcdorm.v2.errors

NAMES = {
    "etcdorm": {
        "KEEP",
        "LATEST",
        "AlreadyExistsError",
        "AsJson",
        "Change",
        "ConflictError",
        "Created",
        "DecodeError",
        "Deleted",
        "Done",
        "EncodeError",
        "EtcdModel",
        "EtcdormError",
        "Expired",
        "Failed",
        "Feed",
        "FellBehindError",
        "FieldFailure",
        "Held",
        "Holder",
        "HookError",
        "Invalid",
        "KeyChange",
        "KeyName",
        "Leadership",
        "Lease",
        "LeaseLapsedError",
        "Listing",
        "Live",
        "LockLostError",
        "LockTimeoutError",
        "Merge",
        "Migrated",
        "ModelError",
        "NewerVersionError",
        "NotFoundError",
        "PathError",
        "Place",
        "RefusedError",
        "Registration",
        "Results",
        "Sensitive",
        "ServerError",
        "Session",
        "Table",
        "Tail",
        "UnavailableError",
        "UnconfirmedError",
        "Updated",
        "UsageError",
        "Values",
        "after_delete",
        "after_load",
        "after_save",
        "before_delete",
        "before_load",
        "before_save",
        "connect",
        "upgrade",
    },
    "etcdorm.v2": {
        "Auth",
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
        "Call",
        "Observer",
        "Lock",
        "Member",
        "StopWatching",
    },
    "etcdorm.testing": {"EtcdBinary", "EtcdCluster", "EtcdServer", "Fate", "FaultProxy", "Seen", "find_binary"},
}

KEPT = {"on_change", "reach", "ready", "stale", "until", "version", "wait_ready"}

METHODS: dict[type, set[str]] = {
    etcdorm.Feed: {"fell_behind"},
    etcdorm.Live: {*KEPT, "error", "get", "value"},
    etcdorm.Table: {*KEPT, "invalid", "items", "keys", "values"},
    etcdorm.Session: {
        "append",
        "records",
        "tail",
        "trim",
        "campaign",
        "close",
        "count",
        "delete",
        "delete_all",
        "endpoints",
        "exists",
        "get",
        "keepalive",
        "keys",
        "leader",
        "list",
        "live",
        "load",
        "load_all",
        "lock",
        "lock_holder",
        "migrate",
        "namespace",
        "refresh",
        "register",
        "reload",
        "save",
        "save_all",
        "store",
        "table",
        "update",
        "watch",
    },
    etcdorm.v2.Client: {
        "base_uri",
        "close",
        "cluster_id",
        "cluster_version",
        "contains",
        "delete",
        "endpoints",
        "eternal_watch",
        "get",
        "host",
        "key_endpoint",
        "leader",
        "leader_stats",
        "lock_prefix",
        "machines",
        "members",
        "pop",
        "port",
        "protocol",
        "read",
        "refresh",
        "set",
        "stats",
        "store_stats",
        "test_and_set",
        "update",
        "version",
        "version_prefix",
        "watch",
        "write",
    },
    etcdorm.v2.Auth: {"disable", "enable", "get_active", "roles", "set_active", "users"},
    etcdorm.v2.EternalWatch: {"aclose", "call", "connected"},
    etcdorm.testing.FaultProxy: {"accept", "cut", "freeze", "methods", "redirect", "refuse", "release", "thaw", "url"},
    etcdorm.testing.EtcdCluster: {
        "abandon",
        "followers",
        "isolate",
        "leader",
        "members",
        "rejoin",
        "start",
        "stop",
        "urls",
    },
    etcdorm.testing.EtcdServer: {
        "abandon",
        "binary",
        "data_dir",
        "kill",
        "log_path",
        "name",
        "pause",
        "pid",
        "restart",
        "resume",
        "running",
        "start",
        "stop",
        "url",
    },
}


@pytest.mark.parametrize("module", NAMES)
def test_a_module_offers_these_names_and_no_others(module: str) -> None:
    assert set(importlib.import_module(module).__all__) == NAMES[module]


@pytest.mark.parametrize("module", NAMES)
def test_every_offered_name_is_there(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []


@pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)
def test_a_class_offers_these_methods_and_no_others(kind: type) -> None:
    ours = [vars(each) for each in kind.__mro__ if each.__module__.startswith("etcdorm.")]
    assert {name for names in ours for name in names if not name.startswith("_")} == METHODS[kind]


def test_a_model_has_these_names_of_its_own_and_no_others() -> None:
    assert {name for name in vars(etcdorm.EtcdModel) if not name.startswith(("_", "model_"))} == {
        "etcd",
        "key",
        "match_key",
    }


@pytest.mark.parametrize(
    ("module", "home"), [(etcdorm, etcdorm.errors), (etcdorm.v2, etcdorm.v2.errors)], ids=["etcdorm", "etcdorm.v2"]
)
def test_every_error_is_public(module: object, home: object) -> None:
    errors = {
        name
        for name, value in vars(home).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == getattr(home, "__name__", "")
    }
    assert errors - set(getattr(module, "__all__", ())) == set()


@pytest.mark.parametrize("module", [etcdorm, etcdorm.v2], ids=["etcdorm", "etcdorm.v2"])
def test_every_error_is_an_etcdorm_error(module: object) -> None:
    errors = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert [error for error in errors if not issubclass(error, etcdorm.EtcdormError)] == []


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert files(etcdorm).joinpath("py.typed").is_file()
