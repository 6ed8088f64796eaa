"""A typed object mapper and configuration ORM over etcd."""

from etcdorm.connect import connect
from etcdorm.errors import (
    AlreadyExistsError,
    ConflictError,
    DecodeError,
    EncodeError,
    EtcdormError,
    FieldFailure,
    HookError,
    LeaseLapsedError,
    LockLostError,
    LockTimeoutError,
    ModelError,
    NotFoundError,
    PathError,
    RefusedError,
    ServerError,
    UnavailableError,
    UnconfirmedError,
    UsageError,
)
from etcdorm.feed import Feed
from etcdorm.mapping import AsJson, EtcdModel, Merge, Place
from etcdorm.mapping.change import Change, Created, Deleted, Expired, Invalid, Updated
from etcdorm.mapping.hooks import after_delete, after_load, after_save, before_delete, before_load, before_save
from etcdorm.recipes import Held
from etcdorm.session import LATEST, Done, Failed, Listing, Results, Session, Tail
from etcdorm.store import KEEP

__all__ = [
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
    "FieldFailure",
    "Held",
    "HookError",
    "Invalid",
    "LeaseLapsedError",
    "Listing",
    "LockLostError",
    "LockTimeoutError",
    "Merge",
    "ModelError",
    "NotFoundError",
    "PathError",
    "Place",
    "RefusedError",
    "Results",
    "ServerError",
    "Session",
    "Tail",
    "UnavailableError",
    "UnconfirmedError",
    "Updated",
    "UsageError",
    "after_delete",
    "after_load",
    "after_save",
    "before_delete",
    "before_load",
    "before_save",
    "connect",
]
