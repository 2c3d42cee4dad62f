"""From what the watches have seen to the nouns of the control plane: one portfolio with all that it refers
to, and what runs of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast, get_args

from folio_api.meta import Key, Resource, SecretKeyRef
from folio_api.model import SpecialistModel
from folio_api.parse import Parsed, parse
from folio_api.policy import RoutingPolicy
from folio_api.portfolio import ModelPortfolio
from folio_api.table import GatewayState
from folio_operator.allowed import BY_DEFAULT, Allowed
from folio_operator.checks.references import secret_references, tenants_secret
from folio_operator.cluster import (
    CHILDREN,
    CONFIG_MAP,
    MODEL,
    POLICY,
    RAY_CLUSTER,
    RAY_SERVICE,
    SECRET,
    Body,
    Kind,
    key_of,
    uid_of,
)
from folio_operator.credentials import REFRESH, Reader, values
from folio_operator.naming import Subject, named_by
from folio_operator.obstacles import Obstacle
from folio_operator.recent import Recent
from folio_operator.serve_text import TEXTS
from folio_operator.status import GATEWAY, last_line
from folio_operator.store import Store
from folio_operator.succession import Asked
from folio_operator.tenants import tenant_keys
from folio_operator.world import Application, ApplicationState, Member, Observed, Portfolio, TenantKey
from folio_operator.world import gather as assemble

R = TypeVar("R", bound=Resource)

PARSED = 256
"""Resources that are kept parsed. A portfolio at rest needs none of its own, which take 34 KiB, and 0.7 ms to
parse again.
"""
CONFIGURATIONS = 128


@dataclass(frozen=True)
class Problem:
    """Something about the inputs that no check of the pure core can see."""

    reason: str
    message: str


@dataclass(frozen=True)
class Gathered:
    """A portfolio as asked for and as it runs."""

    portfolio: Portfolio
    problems: tuple[Problem, ...]
    files: Mapping[Subject, Mapping[str, bytes]]
    """Values of every Secret and ConfigMap that is referred to and exists."""
    children: tuple[Body, ...]
    service: Body | None
    """The RayService."""
    asked: Asked
    """What Serve was last asked for in it."""
    ray_cluster: Body | None
    """The RayCluster that it serves from."""


@dataclass
class Gatherer:
    """Parses objects, and reads Secrets by name."""

    store: Store
    reader: Reader
    allowed: Allowed = BY_DEFAULT
    _parsed: Recent[str, tuple[Any, Parsed]] = field(default_factory=lambda: Recent(PARSED))
    """By uid: the generation, and what became of it."""
    _configurations: Recent[Key, tuple[str, Asked]] = field(default_factory=lambda: Recent(CONFIGURATIONS))
    """By portfolio: what its RayService says to Serve. The passes after an edit look at it several times."""

    async def gather(self, body: Body) -> Gathered | Problem:
        """Return the portfolio, or why its own object cannot be read."""
        parsed = self.parse(body)
        if not isinstance(parsed.resource, ModelPortfolio):
            return _unreadable("ModelPortfolio", key_of(body), parsed)
        resource = _with_notes(
            parsed.resource, {name: str(text) for name, text in _annotations(body).items()}
        )
        portfolio = self._portfolio(resource)
        problems = tuple(self._unreadable_inputs(body))
        self.reader.refresh(portfolio.key, str(_annotations(body).get(REFRESH, "")), referenced(portfolio))
        files = await self.files(portfolio)
        keys = {key.name: frozenset(found) for (kind, key), found in files.items() if kind is SECRET}
        children = self.store.children(portfolio.key, CHILDREN)
        service = self.store.get(RAY_SERVICE, portfolio.key)
        return Gathered(
            portfolio=replace(portfolio, secrets=keys, tenant_keys=_tenant_keys(portfolio, files)),
            problems=(
                *problems,
                *_missing_config_maps(portfolio, files),
                *_missing_password(portfolio, files),
            ),
            files=files,
            children=children,
            service=service,
            asked=self._asked(portfolio.key, service),
            ray_cluster=self._active_cluster(portfolio.key, service),
        )

    def parse(self, body: Body) -> Parsed:
        """Return the resource. Its metadata may be older than the body's, of the same generation."""
        uid, generation = uid_of(body), body["metadata"].get("generation")
        known = self._parsed.get(uid)
        if known is None or known[0] != generation or generation is None:
            known = (generation, parse({name: part for name, part in body.items() if name != "status"}))
            self._parsed.put(uid, known)
        return known[1]

    def forget(self, body: Body) -> None:
        self._parsed.forget(uid_of(body))

    def forget_portfolio(self, key: Key) -> None:
        """A portfolio is gone, and what it owned with it."""
        self.reader.forget(key)
        self._configurations.forget(key)

    def seconds_until_due(self, portfolio: Portfolio) -> float:
        subjects = referenced(portfolio)
        return min((self.reader.seconds_until_due(*each) for each in subjects), default=float("inf"))

    def users(self, kind: Kind, key: Key) -> Iterator[ModelPortfolio]:
        """Return the portfolios that refer to a policy or a model, and stay."""
        for body in self.store.namers(kind, key):
            resource = self.parse(body).resource
            if isinstance(resource, ModelPortfolio) and not body["metadata"].get("deletionTimestamp"):
                yield resource

    async def files(self, portfolio: Portfolio) -> dict[Subject, Mapping[str, bytes]]:
        """Return the values of every Secret and ConfigMap that the portfolio names, where it exists."""
        found = [(subject, await self.reader.read(*subject)) for subject in referenced(portfolio)]
        return {subject: values(body) for subject, body in found if body is not None}

    def _portfolio(self, resource: ModelPortfolio) -> Portfolio:
        namespace, spec = resource.key.namespace, resource.spec
        policy = self._readable(RoutingPolicy, self.store.get(POLICY, Key(namespace, spec.policy_ref.name)))
        named = {Key(namespace, entry.specialist) for entry in spec.models}
        found = self._readable(SpecialistModel, *(self.store.get(MODEL, key) for key in sorted(named)))
        if len(found) < len(named):  # what there is instead is told with what is missing
            found = self._readable(SpecialistModel, *self.store.in_namespace(MODEL, namespace))
        return replace(assemble(resource, policy, found), allowed=self.allowed)

    def _unreadable_inputs(self, portfolio: Body) -> Iterator[Problem]:
        """An object that exists and cannot be read is not one that is missing: say so first."""
        for kind, key in named_by(portfolio):
            body = self.store.get(kind, key)
            if body is not None and self.parse(body).resource is None:
                yield _unreadable(kind.name, key, self.parse(body))

    def _readable(self, resource: type[R], *bodies: Body | None) -> list[R]:
        parsed = (self.parse(body).resource for body in bodies if body is not None)
        return [each for each in parsed if isinstance(each, resource)]

    def _asked(self, portfolio: Key, service: Body | None) -> Asked:
        if service is None:
            self._configurations.forget(portfolio)
            return Asked()
        text = str(service["spec"].get("serveConfigV2", ""))
        known = self._configurations.get(portfolio)
        if known is None or known[0] != text:
            known = (text, Asked.of(TEXTS.read(text) or {}))
            self._configurations.put(portfolio, known)
        return known[1]

    def _active_cluster(self, portfolio: Key, service: Body | None) -> Body | None:
        name = _active_status(service).get("rayClusterName")
        return self.store.get(RAY_CLUSTER, Key(portfolio.namespace, name)) if name else None


def referenced(portfolio: Portfolio) -> list[Subject]:
    """Return every Secret and ConfigMap that the portfolio's gateway and models name."""
    namespace = portfolio.key.namespace
    named = {(SECRET, Key(namespace, name)) for m in portfolio.members for _, name, _ in secret_references(m)}
    if tenants := tenants_secret(portfolio):
        named.add((SECRET, Key(namespace, tenants)))
    if password := _redis_password(portfolio):
        named.add((SECRET, Key(namespace, password.name)))
    bundles = {(CONFIG_MAP, Key(namespace, name)) for _, name, _ in config_map_references(portfolio.members)}
    return sorted(named | bundles, key=lambda subject: (subject[0].name, subject[1]))


def _tenant_keys(
    portfolio: Portfolio, files: Mapping[Subject, Mapping[str, bytes]]
) -> tuple[TenantKey, ...] | None:
    name = tenants_secret(portfolio)
    held = files.get((SECRET, Key(portfolio.key.namespace, name))) if name else None
    return None if held is None else tenant_keys(held)


def config_map_references(members: Iterable[Member]) -> Iterator[tuple[Member, str, str]]:
    """Member, ConfigMap and key of every certificate bundle."""
    for member in members:
        external = member.model.spec.external
        if external and external.ca_bundle:
            reference = external.ca_bundle.config_map_key_ref
            yield member, reference.name, reference.key


def observed(service: Body | None, gateway: GatewayState | None) -> Observed:
    """Return what Serve said through KubeRay, and what the gateway says itself."""
    serving, coming = _active_status(service), _pending_status(service)
    is_moving = has_gateway(service) and bool(coming.get("rayClusterName"))
    return Observed(_applications(serving), gateway, coming=_applications(coming) if is_moving else None)


def gateway_trouble(service: Body | None) -> Iterator[Obstacle]:
    """Return why the gateway itself fails, in the cluster that serves or in the first one."""
    for each in (_active_status(service), _pending_status(service)):
        found = (each.get("applicationStatuses") or {}).get(GATEWAY)
        application = _application(GATEWAY, found) if found else None
        if application is not None and application.state in ("DEPLOY_FAILED", "UNHEALTHY"):
            why = last_line(application.message) or "the head's log says why"
            yield Obstacle(GATEWAY, "GatewayFailed", why)


def has_gateway(service: Body | None) -> bool:
    """Return whether a Ray cluster of it came up: KubeRay names the one that does, and keeps naming it.

    Until then nobody is there to ask, and only events bring news.
    """
    return bool(_active_status(service).get("rayClusterName"))


def groups_of(ray_cluster: Body | None) -> tuple[Mapping[str, Any], ...]:
    return tuple(ray_cluster["spec"].get("workerGroupSpecs") or ()) if ray_cluster else ()


def _active_status(service: Body | None) -> Mapping[str, Any]:
    status = (service or {}).get("status") or {}
    return status.get("activeServiceStatus") or {}


def _pending_status(service: Body | None) -> Mapping[str, Any]:
    status = (service or {}).get("status") or {}
    return status.get("pendingServiceStatus") or {}


def _applications(status: Mapping[str, Any]) -> dict[str, Application]:
    found = status.get("applicationStatuses") or {}
    return {name: _application(name, each) for name, each in found.items()}


def _application(name: str, status: Mapping[str, Any]) -> Application:
    stated = status.get("status", "NOT_STARTED")
    known = stated if stated in get_args(ApplicationState) else "NOT_STARTED"
    return Application(name, cast("ApplicationState", known), _message(status))


def _message(status: Mapping[str, Any]) -> str:
    """Return the most telling message: a deployment's traceback rather than the application's summary."""
    deployments = (status.get("serveDeploymentStatuses") or {}).values()
    told = [str(each["message"]) for each in deployments if each.get("message")]
    return told[0] if told else str(status.get("message") or "")


def _annotations(body: Body) -> Mapping[str, Any]:
    return body["metadata"].get("annotations") or {}


def _with_notes(resource: ModelPortfolio, notes: dict[str, str]) -> ModelPortfolio:
    """Return the portfolio under its present annotations: an edit of these is no new generation."""
    if resource.metadata.annotations == notes:
        return resource
    metadata = resource.metadata.model_copy(update={"annotations": notes})
    return resource.model_copy(update={"metadata": metadata})


def _unreadable(kind: str, key: Key, parsed: Parsed) -> Problem:
    named = "; ".join(f"{'.'.join(map(str, one.path))} {one.message}" for one in parsed.complaints[:3])
    return Problem("Invalid", f"{kind}/{key.name}: {named}")


def _redis_password(portfolio: Portfolio) -> SecretKeyRef | None:
    redis = portfolio.resource.spec.ray.redis
    return redis.password.secret_key_ref if redis and redis.password else None


def _missing_password(portfolio: Portfolio, files: Mapping[Subject, Any]) -> Iterator[Problem]:
    """The head's pod takes it from the Secret itself, and would only wait for it."""
    reference = _redis_password(portfolio)
    if reference is None:
        return
    held = files.get((SECRET, Key(portfolio.key.namespace, reference.name)))
    if held is None or reference.key not in held:
        where = f"ModelPortfolio/{portfolio.key.name} spec.ray.redis.password"
        message = f"{where}: there is no Secret {reference.name} with key {reference.key}: create it"
        yield Problem("SecretNotFound", message)


def _missing_config_maps(portfolio: Portfolio, files: Mapping[Subject, Any]) -> Iterator[Problem]:
    for member, name, key in config_map_references(portfolio.members):
        held = files.get((CONFIG_MAP, Key(portfolio.key.namespace, name)))
        if held is None or key not in held:
            where = f"SpecialistModel/{member.entry.specialist} spec.external.caBundle"
            yield Problem(
                "ConfigMapNotFound", f"{where}: there is no ConfigMap {name} with key {key}: create it"
            )
