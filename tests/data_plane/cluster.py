"""A real Ray Serve on this machine for a test session: own ports, own directories, gone at the end to the last process.

Everything that the cluster starts inherits one marker in its environment, by which its processes are found and ended, each
by its id, whatever their parents have become.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.data_plane.ports import free_block, free_ports

import folio_serving
from folio_api.table import GatewayConfig

MARKER = "FOLIO_TEST_CLUSTER"
FOLIO_TOKEN = "x-folio-token"
TESTS = Path(__file__).parent
TLS = ssl.create_default_context()
"""One for all clients, though none needs it: each would make its own, which takes a busy core 0.2 s."""


def gateway(config: GatewayConfig, replicas: int = 1) -> dict[str, Any]:
    """Return the gateway's Serve application, as the control plane would write it."""
    return {
        "name": "gateway",
        "route_prefix": "/",
        "import_path": "folio_serving.app:gateway",
        "args": {"portfolio": "test", "namespace": "default"},
        "deployments": [
            {
                "name": "Gateway",
                "autoscaling_config": {"min_replicas": replicas, "max_replicas": replicas},
                "max_ongoing_requests": 1000,
                "max_queued_requests": 1000,
                "ray_actor_options": {"num_cpus": 0.1},
                "user_config": config.model_dump(mode="json", exclude_defaults=True),
            }
        ],
    }


@dataclass(frozen=True)
class Cluster:
    """A running head node, spoken to as the control plane does: by HTTP, with Ray's token."""

    directory: Path
    dashboard_url: str
    serve_port: int
    ray_token: str
    internal_token: str
    marker: str
    environment: dict[str, str] = field(repr=False)

    @property
    def volumes(self) -> Path:
        return self.directory / "volumes"

    @property
    def secrets(self) -> Path:
        return self.directory / "secrets"

    @property
    def serve_url(self) -> str:
        """The public port: HAProxy."""
        return f"http://127.0.0.1:{self.serve_port}"

    @property
    def token_header(self) -> dict[str, str]:
        return {FOLIO_TOKEN: self.internal_token}

    def applications(self) -> dict[str, Any]:
        return dict(self._ask("GET")["applications"])

    def deploy(self, *applications: dict[str, Any]) -> None:
        """Make exactly these applications the whole desired state."""
        options = {"host": "127.0.0.1", "port": self.serve_port}
        config = {"proxy_location": "HeadOnly", "http_options": options, "applications": list(applications)}
        self._ask("PUT", json=config)

    def wait(
        self, application: str, *, seconds: float = 180, states: tuple[str, ...] = ("RUNNING",)
    ) -> dict[str, Any]:
        """Return the application once it is in one of the states; any other final state is the test's failure."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = self.applications().get(application, {"status": "NOT_STARTED"})
            if seen["status"] in states:
                return dict(seen)
            if seen["status"] in {"DEPLOY_FAILED", "UNHEALTHY"}:
                raise AssertionError(f"{application} is {seen['status']}: {problems(seen)}")
            time.sleep(0.25)
        raise AssertionError(f"{application} was not {states} within {seconds} s: {problems(seen)}")

    def replica_pids(self, application: str) -> list[int]:
        """Return the processes of the replicas that answer, also while they take a new configuration."""
        deployments = self.applications()[application]["deployments"].values()
        replicas = [each for deployment in deployments for each in deployment["replicas"]]
        return [r["pid"] for r in replicas if r["state"] in {"RUNNING", "UPDATING"} and r.get("pid")]

    def replica_urls(self, application: str) -> list[str]:
        """Return where the replicas themselves listen, seen from outside: their processes' own ports."""
        low = int(self.environment["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"])
        high = int(self.environment["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"])
        ports = sorted(
            each.laddr.port
            for pid in self.replica_pids(application)
            for each in psutil.Process(pid).net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and low <= each.laddr.port <= high
        )
        return [f"http://127.0.0.1:{port}" for port in ports]

    def processes(self) -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if _marker(each) == self.marker]

    def _ask(self, method: str, json: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self.dashboard_url}/api/serve/applications/"
        headers = {"authorization": f"Bearer {self.ray_token}"}
        for patience in (1, 2, 4, 8, 0):  # a busy dashboard hangs up; both methods may be repeated
            try:
                answer = httpx.request(method, url, json=json, headers=headers, timeout=60, verify=TLS)
                break
            except httpx.RemoteProtocolError:
                if not patience:
                    raise
                time.sleep(patience)
        assert answer.status_code == 200, f"{method} {url}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}


def problems(application: dict[str, Any]) -> str:
    """Return every message that Serve gives about an application."""
    deployments = application.get("deployments", {}).values()
    return "\n".join([application.get("message", ""), *(d.get("message", "") for d in deployments)])


@contextlib.contextmanager
def running_cluster(*, cpus: int = 4) -> Iterator[Cluster]:
    """Start a head node; at the end no process and no file of it is left."""
    directory = Path(tempfile.mkdtemp(prefix="fo", dir="/tmp"))  # Ray's socket paths must stay short
    try:
        cluster, command = _plan(directory, cpus)
        head = _start(cluster, command)
        try:
            _wait_for_dashboard(cluster, head)
            yield cluster
        finally:
            _end(cluster, head)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _plan(directory: Path, cpus: int) -> tuple[Cluster, list[str]]:
    gcs, dashboard, agent, agent_grpc, client, serve, *rest = free_ports(12)
    cluster = Cluster(
        directory=directory,
        dashboard_url=f"http://127.0.0.1:{dashboard}",
        serve_port=serve,
        ray_token=secrets.token_hex(16),
        internal_token=secrets.token_hex(16),
        marker=secrets.token_hex(8),
        environment={},
    )
    cluster.environment.update(_environment(cluster, rest))
    for each in (cluster.volumes, cluster.secrets, directory / "haproxy"):
        each.mkdir()
    (cluster.secrets / "internal-token").write_text(cluster.internal_token)
    ports = {
        "port": gcs,
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "dashboard-agent-grpc-port": agent_grpc,
        "ray-client-server-port": client,
        "min-worker-port": 0,
        "max-worker-port": 0,
    }
    options = [f"--{name}={value}" for name, value in ports.items()]
    ray = str(Path(sys.executable).parent / "ray")
    command = [
        ray,
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        "--disable-usage-stats",
        *options,
    ]
    sizes = [f"--num-cpus={cpus}", "--num-gpus=0", "--object-store-memory=80000000"]
    return cluster, [*command, *sizes, f"--temp-dir={directory / 'r'}"]


def _environment(cluster: Cluster, ports: list[int]) -> dict[str, str]:
    """Return what distinguishes this cluster's processes from those of any other on the machine."""
    haproxy = cluster.directory / "haproxy"
    replicas = free_block(100)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FOLIO_"))},
        MARKER: cluster.marker,
        "FOLIO_SECRETS_DIR": str(cluster.secrets),
        "FOLIO_VOLUMES_DIR": str(cluster.volumes),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        # What this session imports, its replicas import: also in a checkout beside the installed one.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(TESTS.parent.parent), os.environ.get("PYTHONPATH")))),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": cluster.ray_token,
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replicas),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replicas + 49),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(replicas + 50),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(replicas + 99),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports[0]),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports[1]),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(folio_serving.__file__).with_name("haproxy.sh")),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports[2]),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports[3]),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        # On a busy machine the proxy takes longer than the default 5 s, and Serve then kills it three times.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "120",
        # An edit hides its replica for a moment: HAProxy need not hear of it (docs/decisions/0020).
        "RAY_SERVE_HAPROXY_BROADCAST_COALESCE_S": "2",
    }


def _start(cluster: Cluster, command: list[str]) -> subprocess.Popen[bytes]:
    with (cluster.directory / "head.log").open("wb") as log:
        return subprocess.Popen(
            command, env=cluster.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait_for_dashboard(cluster: Cluster, head: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    headers = {"authorization": f"Bearer {cluster.ray_token}"}
    while time.monotonic() < deadline and head.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{cluster.dashboard_url}/api/version", headers=headers).status_code == 200:
                return
        time.sleep(0.25)
    log = (cluster.directory / "head.log").read_text(errors="replace")[-3000:]
    raise RuntimeError(f"the Ray head did not come up (exit {head.poll()}):\n{log}")


def _end(cluster: Cluster, head: subprocess.Popen[bytes]) -> None:
    """End the head, then whatever it left: every process that carries the marker, by its id."""
    head.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.wait(3)
    for sweep in range(20):
        left = cluster.processes()
        if not left:
            return
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill() if sweep else each.terminate()
        psutil.wait_procs(left, timeout=1)
    raise RuntimeError(f"processes of the test cluster would not end: {cluster.processes()}")


def _marker(process: psutil.Process) -> str | None:
    try:
        return str(process.environ().get(MARKER))
    except (psutil.Error, OSError):
        return None
