"""Ports that are kept for a server while it is down."""

from __future__ import annotations

import socket
import sys

import pytest

from etcdorm.embedded.probe import free_ports, hold_ports

CAN_BE_HELD = sys.platform == "linux"


def found_free(port: int) -> bool:
    """Whether the system could give the port to somebody who asks for any."""
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_a_held_port_is_free_for_nobody_but_who_names_it() -> None:
    (port,) = free_ports(1)
    held = hold_ports(port)
    assert found_free(port) is not CAN_BE_HELD
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with (
        socket.create_server(("127.0.0.1", port)) as server,
        socket.create_connection(("127.0.0.1", port)),
        server.accept()[0],
    ):
        pass
    held.close()


def test_a_port_is_free_again_when_it_is_not_held_any_more() -> None:
    (port,) = free_ports(1)
    hold_ports(port).close()
    assert found_free(port)


def test_a_port_that_is_in_use_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, hold_ports(server.getsockname()[1], 99999):
        pass
