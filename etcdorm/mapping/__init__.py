"""Model classes and records: which keys a class has, and a model's fields to keys and back. Pure, without I/O."""

from etcdorm.mapping.diff import changes
from etcdorm.mapping.differ import Seen
from etcdorm.mapping.edits import changed_keys
from etcdorm.mapping.markers import AsJson, KeyName, Merge, Sensitive
from etcdorm.mapping.model import EtcdModel, Place, place_of, set_place
from etcdorm.mapping.raw import Values
from etcdorm.mapping.schema import Schema, schema_of
from etcdorm.mapping.versions import upgrade

__all__ = [
    "AsJson",
    "EtcdModel",
    "KeyName",
    "Merge",
    "Place",
    "Schema",
    "Seen",
    "Sensitive",
    "Values",
    "changed_keys",
    "changes",
    "place_of",
    "schema_of",
    "set_place",
    "upgrade",
]
