"""What a namespace holds of Folio's, read with the user's own rights."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from folio_api.meta import Key
from folio_cli.exits import Problem, UsageProblem
from folio_operator.children import PORTFOLIO_LABEL
from folio_operator.cluster import (
    MODEL,
    POLICY,
    PORTFOLIO,
    RAY_SERVICE,
    REVISION,
    ApiError,
    Body,
    Cluster,
    key_of,
    uid_of,
)

NAME_ONE = "set KUBECONFIG, or --kubeconfig"
HINTS = {
    0: "the cluster does not answer",
    401: "the cluster does not know you: renew what the kubeconfig says of its user",
    404: "the cluster does not know Folio: install its chart",
}
"""What to do, by the status of the API server's answer."""


@dataclass(frozen=True)
class Where:
    """Which namespace of which cluster; None: as kubectl would take it."""

    context: str | None = None
    namespace: str | None = None
    kubeconfig: Path | None = None


def where(context: str | None, namespace: str | None, kubeconfig: Path | None) -> Where | None:
    """Return the cluster that is meant; None: this machine. `kubectl folio` always means a cluster."""
    is_plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    named = any(each is not None for each in (context, namespace, kubeconfig))
    return Where(context, namespace, kubeconfig) if named or is_plugin else None


@dataclass(frozen=True)
class Held:
    """Objects of one namespace."""

    namespace: str
    portfolios: Sequence[Body]
    policies: Sequence[Body]
    models: Sequence[Body]
    revisions: Sequence[Body]
    services: Sequence[Body]

    def portfolio(self, name: str) -> Body | None:
        return next((each for each in self.portfolios if key_of(each).name == name), None)

    def service(self, name: str) -> Body | None:
        """Return the RayService of a portfolio."""
        return next((each for each in self.services if key_of(each).name == name), None)

    def revisions_of(self, portfolio: Body) -> tuple[Body, ...]:
        name, uid = key_of(portfolio).name, uid_of(portfolio)
        labelled = (
            each for each in self.revisions if each["metadata"]["labels"].get(PORTFOLIO_LABEL) == name
        )
        return tuple(
            each
            for each in labelled
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or ())
        )


def read(place: Where, default_namespace: str | None = None) -> Held:
    """Return what the namespace holds, or raise Problem. A file's namespace counts before the context's."""
    return asyncio.run(_connected(place, default_namespace))


async def _connected(place: Where, default_namespace: str | None) -> Held:
    from folio_operator.kube import KubeCluster  # noqa: PLC0415 - half a second, and only here

    api, of_context = await _client(place)
    namespace = place.namespace or default_namespace or of_context or "default"
    try:
        return await held(KubeCluster(api, (namespace,)), namespace)
    except ApiError as error:
        hint = HINTS.get(error.status, "kubectl auth can-i --list says what you may")
        raise Problem(f"namespace {namespace} cannot be read", [str(error), hint]) from error
    finally:
        await api.close()


async def held(cluster: Cluster, namespace: str) -> Held:
    """Return the objects of the namespace that the cluster lists."""
    portfolios = await cluster.list(PORTFOLIO)
    found = [await cluster.get(RAY_SERVICE, Key(namespace, key_of(each).name)) for each in portfolios]
    return Held(
        namespace,
        portfolios,
        await cluster.list(POLICY),
        await cluster.list(MODEL),
        await cluster.list(REVISION),
        [each for each in found if each is not None],
    )


async def _client(place: Where) -> tuple[Any, str | None]:
    from kubernetes.aio import config  # noqa: PLC0415 - half a second, and only here

    files = _kubeconfig(place)
    try:
        contexts, active = config.list_kube_config_contexts(files)
        named = {each["name"]: each for each in contexts}
        chosen = named[place.context] if place.context else active
        api = await config.new_client_from_config(files, chosen["name"], persist_config=False)
    except KeyError as error:
        known = ", ".join(sorted(named)) or "none"
        raise UsageProblem(f"there is no context {place.context}", [f"there is: {known}"]) from error
    except TypeError as error:
        told = f"{files} is no whole kubeconfig: kubectl config view shows what it names and does not hold"
        raise UsageProblem("no cluster is named", [told, NAME_ONE]) from error
    except (config.ConfigException, OSError, ValueError, YAMLError) as error:
        raise UsageProblem("no cluster is named", [str(error), NAME_ONE]) from error
    return api, chosen["context"].get("namespace")


def _kubeconfig(place: Where) -> str:
    """Return the files that kubectl would read, of which one at least is there."""
    files = str(place.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    if not any(Path(each).expanduser().exists() for each in files.split(os.pathsep) if each):
        raise UsageProblem("no cluster is named", [f"there is no file {files}", NAME_ONE])
    return files
