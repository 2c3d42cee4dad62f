"""The door of a portfolio: the gateway's replicas, who may come in, and what stands before it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from folio_api.markers import ATOMIC, SCALAR_SET, Rule
from folio_api.meta import Labels, Part, PodTemplate, SecretRef
from folio_api.pools import ResourceRequirements, Volumes
from folio_api.types import HostName, Line, ObjectName
from folio_api.urls import HttpUrl, KeysUrl


class ApiKeys(Part):
    """Keys that clients send as bearer tokens."""

    secret_ref: SecretRef
    """Secret with one data key per tenant."""


class Jwt(Part):
    """Tokens of an identity provider."""

    issuer: HttpUrl
    """The iss claim."""
    audiences: Annotated[tuple[Line, ...], Field(min_length=1, max_length=16), SCALAR_SET]
    """One of these must be in the aud claim."""
    jwks_uri: KeysUrl = Field(alias="jwksURI")
    """Where the provider's keys are."""
    tenant_claim: Line = "sub"
    """The claim that names the tenant."""


class Auth(Part):
    """Who may come in: keys, tokens, or both."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.apiKeys) || has(self.jwt)", "auth may not be empty: write apiKeys or jwt"),
    )
    api_keys: ApiKeys | None = None
    """Keys kept in a Secret."""
    jwt: Jwt | None = None
    """Tokens of an identity provider."""


class Service(Part):
    """The Service before the gateway."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """As of a Service."""
    annotations: Labels = Field(default_factory=dict)
    """Annotations on the Service."""


class ParentRef(Part):
    """A Gateway that the route attaches to."""

    name: ObjectName
    """Name of the Gateway."""
    namespace: ObjectName | None = None
    """Its namespace. Omitted: the portfolio's."""
    section_name: ObjectName | None = None
    """Its listener. Omitted: every one."""


class HttpRoute(Part):
    """A route of the Gateway API."""

    parent_refs: Annotated[tuple[ParentRef, ...], Field(min_length=1, max_length=8), ATOMIC]
    """The Gateways that it attaches to."""
    hostnames: Annotated[tuple[HostName, ...], Field(max_length=16), SCALAR_SET] = ()
    """Host names that it answers to. Omitted: the listener's."""


class Ingress(Part):
    """An Ingress."""

    class_name: ObjectName | None = None
    """Ingress class. Omitted: the cluster's default."""
    host: HostName
    """Host name that it answers to."""
    tls_secret_name: ObjectName | None = None
    """Secret with the certificate."""
    annotations: Labels = Field(default_factory=dict)
    """Annotations on the Ingress."""


class Expose(Part):
    """What stands between the gateway and the world."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.httpRoute) != has(self.ingress)", "write exactly one of httpRoute, ingress"),
    )
    http_route: HttpRoute | None = None
    """A route of the Gateway API; or `ingress`."""
    ingress: Ingress | None = None
    """An Ingress; or `httpRoute`."""


class Gateway(Part):
    """The portfolio's OpenAI-compatible door."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas may not be above maxReplicas: lower it, or raise maxReplicas",
            field=".minReplicas",
        ),
        Rule(
            "!has(self.expose) || has(self.auth)",
            "expose needs auth: write gateway.auth.apiKeys or .jwt",
            ".auth",
        ),
    )
    min_replicas: Annotated[int, Field(ge=1, le=100)] = 1
    """Gateway replicas that always run."""
    max_replicas: Annotated[int, Field(ge=1, le=100)] | None = None
    """Most gateway replicas. Omitted: minReplicas."""
    resources: ResourceRequirements = ResourceRequirements()
    """What one gateway worker takes; models without a pool share it."""
    volumes: Volumes = ()
    """Claims for the artifact, the audit log and models without a pool."""
    pod_template: PodTemplate = Field(default_factory=dict)
    """A partial PodTemplateSpec merged over Folio's."""
    auth: Auth | None = None
    """Who may come in. Omitted: whoever reaches the Service."""
    service: Service = Service()
    """The Service before the gateway."""
    expose: Expose | None = None
    """A way in from outside the cluster; needs auth."""

    @property
    def ceiling(self) -> int:
        """Most replicas, whether written or not."""
        return self.max_replicas or self.min_replicas
