"""`make bench-gateway`: what a request costs in Folio's gateway, beside its peers, on this machine.

python -m bench.gateway [--seconds 6] [--only folio,uvicorn]

Peers are installed into environments of their own below .folio/bench; one that cannot be is left out, and
said so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from bench.gateway.load import Figures, Target, measure
from tests.data_plane.cluster import Cluster, running_cluster

from folio_api.table import Accept, GatewayConfig, Intent, Model, Price, Rung, Table

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".folio" / "bench"
PEERS = {"vllm-router": "vllm-router==0.1.17", "litellm": "litellm[proxy]==1.106.0"}
MASTER_KEY = "sk-0123456789abcdef0123456789abcdef"
START_SECONDS = 300


def main() -> None:
    arguments = parsed()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    port = free_port()
    rows: list[tuple[str, Figures, Figures]] = []
    with process([sys.executable, "-m", "bench.gateway.upstream", str(port)], port):
        for name in arguments.only or BUILDERS:
            row = measured(name, port, arguments.seconds)
            if row is not None:
                rows.append((name, *row))
                print(line(*rows[-1]), flush=True)
    print()
    print(table(rows))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="of load per cell")
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"some of {', '.join(BUILDERS)}")
    return parser.parse_args()


def measured(name: str, upstream: int, seconds: float) -> tuple[Figures, Figures] | None:
    try:
        with BUILDERS[name](upstream) as target:
            whole = asyncio.run(measure(target, stream=False, sequential=300, seconds=seconds))
            stream = asyncio.run(measure(target, stream=True, sequential=100, seconds=seconds))
            return whole, stream
    except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
        print(f"{name}: left out: {error}", flush=True)
        return None


@contextlib.contextmanager
def folio(upstream: int) -> Iterator[Target]:
    with served("bench.gateway.apps:gateway", upstream, {"user_config": folio_config()}) as target:
        yield target


@contextlib.contextmanager
def serve_pass_through(upstream: int) -> Iterator[Target]:
    with served("bench.gateway.apps:pass_through", upstream, {}) as target:
        yield target


@contextlib.contextmanager
def served(import_path: str, upstream: int, options: dict[str, Any]) -> Iterator[Target]:
    with running_cluster(cpus=2) as cluster:
        deployment = {
            "name": "Gateway",
            "max_ongoing_requests": 1000,
            "autoscaling_config": {"min_replicas": 1, "max_replicas": 1},
            "ray_actor_options": {"num_cpus": 0.1},
        }
        cluster.deploy(
            {
                "name": "gateway",
                "route_prefix": "/",
                "import_path": import_path,
                "args": {"port": upstream},
                "deployments": [deployment | options],
            }
        )
        cluster.wait("gateway")
        time.sleep(3)
        yield Target(import_path, cluster.serve_port, serve_processes(cluster))


def serve_processes(cluster: Cluster) -> tuple[psutil.Process, ...]:
    """Return the processes that a request passes: HAProxy and the replica."""
    replicas = [psutil.Process(pid) for pid in cluster.replica_pids("gateway")]
    return (*replicas, *(one for one in cluster.processes() if "haproxy" in one.name().lower()))


def folio_config() -> dict[str, Any]:
    small = Model(
        name="small",
        engine="vllm",
        application="model-small",
        identity="bench",
        features=("Logprobs",),
        price=Price(usd_per_replica_second=0.001, device="cpu", devices_per_replica=1, watts_per_replica=50),
        max_ongoing_requests=256,
    )
    large = small.model_copy(update={"name": "large"})
    ladder = (Rung(model="small", accept=Accept(signal="MeanLogprob", at_least=0.6)), Rung(model="large"))
    examples = {
        "balance": ("what is my balance", "how much money do i have", "show my account balance"),
        "card": ("my card was declined", "card not accepted in the shop", "why does my card not work"),
        "transfer": (
            "how long does a transfer take",
            "when will my transfer arrive",
            "transfer still pending",
        ),
    }
    intents = tuple(
        Intent(name=name, examples=texts, ladder=ladder, on_exhausted="ReturnBest")
        for name, texts in examples.items()
    )
    table = Table(
        portfolio="bench", models=(small, large), intents=intents, default_ladder=ladder
    ).with_revision()
    return GatewayConfig(active=table).model_dump(mode="json", exclude_defaults=True)


@contextlib.contextmanager
def module(name: str, upstream: int, *, path: str) -> Iterator[Target]:
    """Run a server of this bench, which takes its own port and the upstream's."""
    port = free_port()
    command = [sys.executable, "-m", path, str(port), str(upstream)]
    with process(command, port) as started:
        yield Target(name, port, family(started))


@contextlib.contextmanager
def vllm_router(upstream: int) -> Iterator[Target]:
    binary = environment("vllm-router") / "bin" / "vllm-router"
    port = free_port()
    command = [str(binary), "--worker-urls", f"http://127.0.0.1:{upstream}", "--host", "127.0.0.1"]
    ports = ["--port", str(port), "--prometheus-port", str(free_port())]
    with process([*command, *ports], port) as started:
        yield Target("vllm-router", port, family(started), model="small")


@contextlib.contextmanager
def litellm(upstream: int) -> Iterator[Target]:
    home = environment("litellm")
    port = free_port()
    config = home / "config.yaml"
    config.write_text(
        "model_list:\n- model_name: small\n  litellm_params:\n    model: openai/small\n"
        f"    api_base: http://127.0.0.1:{upstream}/v1\n    api_key: none\n"
        f"general_settings: {{master_key: {MASTER_KEY}}}\n"
    )
    command = [
        str(home / "bin" / "litellm"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    extra = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": MASTER_KEY, "LITELLM_LOG": "ERROR"}
    with process(command, port, extra) as started:
        key = f"authorization: Bearer {MASTER_KEY}\r\n"
        yield Target("litellm", port, family(started), model="small", headers=key)


BUILDERS: dict[str, Callable[[int], contextlib.AbstractContextManager[Target]]] = {
    "folio": folio,
    "serve-pass-through": serve_pass_through,
    "folio-alone": partial(module, "folio-alone", path="bench.gateway.alone"),
    "uvicorn": partial(module, "uvicorn", path="bench.gateway.bare"),
    "vllm-router": vllm_router,
    "litellm": litellm,
}


def environment(peer: str) -> Path:
    """Return a peer's own virtual environment, made at its first use."""
    home = ENVIRONMENTS / peer
    if not (home / "ready").exists():
        print(f"installing {PEERS[peer]} into {home.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "-q", PEERS[peer]], check=True)
        (home / "ready").touch()
    return home


@contextlib.contextmanager
def process(command: list[str], port: int, extra: dict[str, str] | None = None) -> Iterator[psutil.Popen]:
    """Run a server until the block ends; it has to listen within five minutes."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | (extra or {})
    with (ENVIRONMENTS / "last.log").open("wb") as log:
        started = psutil.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(port, started, command[0])
            yield started
        finally:
            for one in (*started.children(recursive=True), started):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            started.wait()


def wait_for(port: int, started: psutil.Popen, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            time.sleep(1)
            return
        time.sleep(0.2)
    raise RuntimeError(f"{name} does not listen; see {ENVIRONMENTS / 'last.log'}")


def family(started: psutil.Popen) -> tuple[psutil.Process, ...]:
    return (psutil.Process(started.pid), *started.children(recursive=True))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def line(name: str, whole: Figures, stream: Figures) -> str:
    cells = [
        f"{f.p50_ms:.2f} / {f.p99_ms:.2f} | {f.per_second:.0f} | {f.cpu_ms:.2f}" for f in (whole, stream)
    ]
    return f"| {name} | {' | '.join(cells)} |"


def table(rows: list[tuple[str, Figures, Figures]]) -> str:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    day = dt.datetime.now(dt.UTC).date().isoformat()
    facts = f"{day}, {platform.machine()}, {os.cpu_count()} CPUs, load {load}"
    head = "| | p50 / p99 ms | req/s | CPU ms/req | stream p50 / p99 ms | req/s | CPU ms/req |"
    return "\n".join([facts, "", head, "|---|---|---|---|---|---|---|", *(line(*row) for row in rows)])
