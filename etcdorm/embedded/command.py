"""How an etcd is called: its arguments and its environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

HOST = "127.0.0.1"


def etcd_arguments(
    version: str,
    *,
    name: str,
    data_dir: Path,
    ports: tuple[int, int],
    listen: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> list[str]:
    """The arguments for a cluster of this one member, on a port for clients and one for peers that never come.

    ``listen`` are further URLs for clients.
    """
    client, peer = (f"http://{HOST}:{port}" for port in ports)
    clients = ",".join([client, *listen])
    flags = {
        "name": name,
        "data-dir": data_dir,
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{name}={peer}",
        "enable-v2": "true",
        "heartbeat-interval": "20",
        "election-timeout": "100",
    }
    if not version.startswith("3.3."):  # which does not know these
        flags |= {"logger": "zap", "log-level": "warn", "log-outputs": "stderr"}
    return [*(f"--{flag}={value}" for flag, value in flags.items()), *extra]


def etcd_environment() -> dict[str, str]:
    """The environment for an etcd: ours, without the variables that etcd takes for its flags."""
    # Where it is needed, this one is no setting of the user's cluster: etcd 3.4 refuses to start on ARM without it.
    kept = {"ETCD_UNSUPPORTED_ARCH"}
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith("ETCD")}
