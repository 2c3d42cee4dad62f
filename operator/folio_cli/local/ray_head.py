"""The command and the environment of a local Ray: on loopback alone, with its token, beside any other Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import folio_serving
from folio_cli.local.state import Running, StateDir
from folio_operator.pods import CPU_ENGINE, QUIET, SERVE_SWITCHES

OBJECT_STORE_BYTES = 100_000_000
IDLE_WORKERS = 1
HAPROXY_FOLDER, SCRATCH_FOLDER = "h", "t"
"""Below Ray's temporary directory; one letter, for the sake of socket paths."""
DRAIN_SECONDS = 2
OTHERS = (
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
    "ray-client-server-port",
    "node-manager-port",
    "object-manager-port",
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)
"""What each of `Ports.others` is for: options of `ray start`, then variables of Serve."""
HIDDEN = ("RAY_", "FOLIO_SECRET_", "VLLM_")
"""Variables of the shell that must not leak into the cluster: other Rays' addresses, secrets."""
PATIENT = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60"}
"""On a busy machine the proxy takes longer than the default 5 s, and Serve then kills it three times."""


def command(running: Running, logical_cpus: int) -> list[str]:
    """Return the command that runs a head node in the foreground."""
    ports = dict(zip(OTHERS, running.ports.others, strict=True))
    options = {
        "node-ip-address": "127.0.0.1",
        "port": running.ports.gcs,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": running.ports.dashboard,
        "temp-dir": running.ray_dir,
        "num-cpus": logical_cpus,
        "object-store-memory": OBJECT_STORE_BYTES,
        "include-log-monitor": "false",
        **{name: port for name, port in ports.items() if name.endswith("-port")},
    }
    ray = Path(sys.executable).with_name("ray")
    return [
        str(ray),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        *(f"--{name}={value}" for name, value in options.items()),
    ]


def environment(
    running: Running, state: StateDir, inherited: Mapping[str, str], *, on_gpus: bool
) -> dict[str, str]:
    """Return the environment of every Ray process."""
    return {
        **{name: value for name, value in inherited.items() if not name.startswith(HIDDEN)},
        "FOLIO_SECRETS_DIR": str(state.secrets),
        "FOLIO_VOLUMES_DIR": str(state.volumes),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(state.ray_token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what makes the node's own address 127.0.0.1
        "RAY_num_workers_soft_limit": str(IDLE_WORKERS),
        "RAY_worker_niceness": "0",  # Ray's own 15 lets any other program starve the gateway
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}",
        "TMPDIR": str(Path(running.ray_dir) / SCRATCH_FOLDER),
        **SERVE_SWITCHES,
        **QUIET,
        **PATIENT,
        **({} if on_gpus else CPU_ENGINE),
        **_serve_ports(running),
        **_haproxy_files(Path(running.ray_dir) / HAPROXY_FOLDER),
    }


def _serve_ports(running: Running) -> dict[str, str]:
    named = dict(zip(OTHERS, running.ports.others, strict=True))
    first, last = running.ports.replicas
    block = last - first + 1
    return {
        **{name: str(port) for name, port in named.items() if name.startswith("RAY_")},
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(last),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first + block),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(last + block),
    }


def _haproxy_files(folder: Path) -> dict[str, str]:
    """Return where HAProxy is and keeps its files: two portfolios must not share the default ones."""
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(folio_serving.__file__).with_name("haproxy.sh")),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(DRAIN_SECONDS),
    }
