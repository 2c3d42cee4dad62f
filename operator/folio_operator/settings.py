"""What the operator is told by its environment, parsed once and by name."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from folio_api.meta import Key
from folio_operator.allowed import BY_DEFAULT, Allowed, AllowedError, read
from folio_operator.children import Egress, Installation
from folio_operator.gateways import SERVICE_URL
from folio_operator.kuberay import LEASE_NAME

KUBERAY_LEASE = Key("kuberay-system", LEASE_NAME)


class SettingsError(Exception):
    """A variable that cannot be read; the message names it and the fix."""


@dataclass(frozen=True)
class Settings:
    """The operator's settings."""

    namespaces: tuple[str, ...]
    """Watch these only; none: all of the cluster."""
    lease_namespace: str
    identity: str
    installation: Installation
    allowed: Allowed = BY_DEFAULT
    """What portfolios, models and policies may do."""
    health_host: str = "0.0.0.0"  # noqa: S104 - a pod's own address
    health_port: int = 8080
    gateway_url: str = SERVICE_URL
    lease_name: str = "folio-operator"
    resync_seconds: float = 300.0
    kuberay_lease: Key = KUBERAY_LEASE
    release_without_kuberay: bool = False
    """Take KubeRay's finalizers off what is to go, where KubeRay does not work."""
    log_level: str = "INFO"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings, or raise SettingsError."""
    own = environment.get("FOLIO_OPERATOR_NAMESPACE", "folio-system")
    return Settings(
        namespaces=_names(environment.get("FOLIO_WATCH_NAMESPACE", "")),
        lease_namespace=own,
        identity=environment.get("FOLIO_POD_NAME") or socket.gethostname(),
        installation=_installation(environment, own),
        allowed=_allowed(environment),
        health_host=environment.get("FOLIO_HEALTH_HOST", Settings.health_host),
        health_port=int(_number(environment, "FOLIO_HEALTH_PORT", Settings.health_port)),
        gateway_url=environment.get("FOLIO_GATEWAY_URL", Settings.gateway_url),
        lease_name=environment.get("FOLIO_LEASE_NAME", Settings.lease_name),
        resync_seconds=_number(environment, "FOLIO_RESYNC_SECONDS", Settings.resync_seconds),
        kuberay_lease=_lease(environment),
        release_without_kuberay=_truth(environment, "FOLIO_RELEASE_WITHOUT_KUBERAY"),
        log_level=_level(environment),
    )


def _installation(environment: Mapping[str, str], own: str) -> Installation:
    default = Installation()
    return Installation(
        serving_image=environment.get("FOLIO_SERVING_IMAGE", default.serving_image),
        ray_version=environment.get("FOLIO_RAY_VERSION", default.ray_version),
        operator_namespace=own,
        kuberay_labels=_labels(environment.get("FOLIO_KUBERAY_LABELS", "")),
        monitoring_namespace=environment.get("FOLIO_MONITORING_NAMESPACE", ""),
        egress=_egress(environment) if _truth(environment, "FOLIO_EGRESS", default="true") else None,
    )


def _egress(environment: Mapping[str, str]) -> Egress:
    default = Egress()
    ports = _names(environment.get("FOLIO_API_SERVER_PORTS", ""))
    return Egress(
        allow=_rules(environment.get("FOLIO_EGRESS_ALLOW", "")),
        api_server_cidrs=_networks(environment.get("FOLIO_API_SERVER_CIDRS", "")) or default.api_server_cidrs,
        api_server_ports=tuple(map(_port, ports)) or default.api_server_ports,
    )


def _rules(written: str) -> tuple[Mapping[str, Any], ...]:
    try:
        found = json.loads(written or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(map(_is_rule, found)):
        raise SettingsError(
            f"FOLIO_EGRESS_ALLOW={written}: write a JSON list of a NetworkPolicy's egress rules, each with to"
            " and ports"
        )
    return tuple(found)


def _is_rule(found: object) -> bool:
    return isinstance(found, dict) and set(found) <= {"to", "ports"} and bool(found.get("to"))


def _networks(written: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(each, strict=False)) for each in _names(written))
    except ValueError as error:
        fix = "write networks such as 10.0.0.0/8, with commas between"
        raise SettingsError(f"FOLIO_API_SERVER_CIDRS={written}: {error}: {fix}") from error


def _port(written: str) -> int:
    if not written.isdecimal() or not 0 < int(written) < 65536:
        raise SettingsError(f"FOLIO_API_SERVER_PORTS={written}: write numbers such as 443,6443")
    return int(written)


def _allowed(environment: Mapping[str, str]) -> Allowed:
    try:
        return read(environment, BY_DEFAULT)
    except AllowedError as error:
        raise SettingsError(str(error)) from error


def _names(written: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in written.split(",") if name.strip())


def _labels(written: str) -> dict[str, str] | None:
    if not written:
        return None
    try:
        found = json.loads(written)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise SettingsError(
            f'FOLIO_KUBERAY_LABELS={written}: write a JSON object such as {{"app": "kuberay"}}'
        )
    return found


def _lease(environment: Mapping[str, str]) -> Key:
    written = environment.get("FOLIO_KUBERAY_LEASE")
    if not written:
        return Settings.kuberay_lease
    namespace, _, name = written.partition("/")
    if not namespace or not name:
        raise SettingsError(f"FOLIO_KUBERAY_LEASE={written}: write NAMESPACE/NAME")
    return Key(namespace, name)


def _truth(environment: Mapping[str, str], name: str, *, default: str = "false") -> bool:
    written = environment.get(name, "").lower() or default
    if written not in ("true", "false"):
        raise SettingsError(f"{name}={written}: write true or false")
    return written == "true"


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    written = environment.get(name)
    try:
        return float(written) if written else float(default)
    except ValueError as error:
        raise SettingsError(f"{name}={written}: write a number") from error


def _level(environment: Mapping[str, str]) -> str:
    level = environment.get("FOLIO_LOG_LEVEL", Settings.log_level).upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"FOLIO_LOG_LEVEL={level}: write DEBUG, INFO, WARNING or ERROR")
    return level
