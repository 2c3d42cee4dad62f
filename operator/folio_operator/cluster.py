"""The API server as a pass meets it: a handful of verbs, objects by kind and name, trouble as one exception.

Nothing here knows a client library; the adapter is `kube.py`, the tests have a fake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from folio_api.meta import API_VERSION, Key

FIELD_MANAGER = "folio"
Body = Mapping[str, Any]
"""An object as the API server holds it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, and where the API server keeps it."""

    api_version: str
    name: str
    plural: str

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]


PORTFOLIO = Kind(API_VERSION, "ModelPortfolio", "modelportfolios")
POLICY = Kind(API_VERSION, "RoutingPolicy", "routingpolicies")
MODEL = Kind(API_VERSION, "SpecialistModel", "specialistmodels")
RAY_SERVICE = Kind("ray.io/v1", "RayService", "rayservices")
RAY_CLUSTER = Kind("ray.io/v1", "RayCluster", "rayclusters")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
HTTP_ROUTE = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
POD_MONITOR = Kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors")
REVISION = Kind("apps/v1", "ControllerRevision", "controllerrevisions")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE = Kind("v1", "Service", "services")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
POD = Kind("v1", "Pod", "pods")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")

INPUTS = (PORTFOLIO, POLICY, MODEL)
"""What people write."""
OPTIONAL = (HTTP_ROUTE, INGRESS, POD_MONITOR)
"""What a portfolio serves without; a cluster need not have the first and the last kind."""
CHILDREN = (RAY_SERVICE, NETWORK_POLICY, DISRUPTION_BUDGET, REVISION, *OPTIONAL)
"""What a pass makes and watches; Secrets are made too, and never watched."""
OF_KUBERAY = (RAY_CLUSTER, POD)
"""What KubeRay makes of a RayService; it carries our labels and is only looked at."""
WATCHED = (*INPUTS, *CHILDREN, *OF_KUBERAY)
ALL = (*WATCHED, SECRET, CONFIG_MAP, SERVICE, EVENT, LEASE)


_BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in ALL}


def kind_of(body: Body) -> Kind:
    """Return the kind of an object that is one of Folio's or of its children."""
    return _BY_NAME[body["kind"]]


def key_of(body: Body) -> Key:
    return Key(body["metadata"].get("namespace") or "default", body["metadata"]["name"])


def uid_of(body: Body) -> str:
    return str(body["metadata"].get("uid", ""))


def version_of(body: Body) -> int:
    """Return its resourceVersion: decimal, and rising, in every API server that there is."""
    version = str(body["metadata"].get("resourceVersion", "0"))
    return int(version) if version.isdigit() else 0


def stated(body: Body) -> Mapping[str, Any]:
    """Return what differs after every edit of an object that people write, but for edits of its status."""
    told_of_any = ("resourceVersion", "managedFields")
    return {name: part for name, part in body["metadata"].items() if name not in told_of_any}


def is_same_edit(one: Body, other: Body) -> bool:
    """Return whether nobody edited an object between two versions of it, status and finalizers aside."""
    one_stated, other_stated = ({**stated(each), "finalizers": ()} for each in (one, other))
    return uid_of(one) == uid_of(other) and one_stated == other_stated


@dataclass(frozen=True, slots=True)
class Trace:
    """That an object exists, and which version of it."""

    key: Key
    uid: str
    version: int


ENDING = "because it is being terminated"
"""What an API server says of a namespace, to whoever would make something new there."""


class ApiError(Exception):
    """The API server said no, or could not be reached (status 0)."""

    def __init__(self, status: int, message: str, subject: str = "") -> None:
        super().__init__(f"{subject}: {message}" if subject else message)
        self.status = status

    @property
    def passes_by_itself(self) -> bool:
        """Whether the same request may succeed later, without anybody changing anything."""
        return self.status in (0, 409, 429) or self.status >= 500

    @property
    def is_of_ending_namespace(self) -> bool:
        """Whether nothing new may be made in a namespace, for it is being deleted."""
        return self.status == 403 and ENDING in str(self)


class Cluster(Protocol):
    """Every verb raises ApiError. What it returns is the object as stored."""

    async def get(self, kind: Kind, key: Key) -> Body | None: ...

    async def list(self, kind: Kind) -> Sequence[Body]:
        """Return every object of what people write; of all else only what carries our label."""

    async def traces(self, kind: Kind) -> Sequence[Trace]:
        """Return of the same objects only what tells whether they are known: whole they are megabytes."""

    async def apply(self, body: Body, *, subresource: str = "", new: bool = False) -> Body:
        """Create the object or own the fields that `body` states, whoever else had them; drop those that it
        stated before. With `new` only create it: status 409 where there is one of its name.
        """

    async def create(self, body: Body, *, dry_run: bool = False) -> None:
        """Create the object; `dry_run`: only say whether that would be allowed."""

    async def patch(self, kind: Kind, key: Key, operations: Sequence[Mapping[str, Any]]) -> Body:
        """Apply a JSON patch, whole or not at all."""

    async def delete(self, kind: Kind, key: Key, uid: str) -> None:
        """Delete this very object; one that is gone already is fine."""
