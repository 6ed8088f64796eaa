"""What all errors can do: go from one process to another."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from etcdorm.errors import DecodeError, FieldFailure, NewerVersionError

FAILURE = FieldFailure("/nodes/n1/port", "port", "not a number", "x")


@pytest.mark.parametrize(
    "error",
    [
        DecodeError("/nodes/n1", "Node", [FAILURE]),
        NewerVersionError("/nodes/n1", "Node", FAILURE, found=3, known=2),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_comes_through_whole(error: DecodeError, again: Callable[[DecodeError], DecodeError]) -> None:
    error.namespace = "/team-a"
    found = again(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    found.namespace = ""
    assert str(found) != str(error)
