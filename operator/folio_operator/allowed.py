"""What an installation lets resources do: run code of their own, reach hosts, read files of the machine.

Who installs decides this, above whoever writes the resources. One machine is its user's own: there everything
is allowed unless its environment says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

ANY_HOST = "*"
HUB_HOST = "huggingface.co"
"""Where `hf://` leads."""
REMOTE_CODE_VARIABLE, HOSTS_VARIABLE = "FOLIO_ALLOW_REMOTE_CODE", "FOLIO_ALLOWED_HOSTS"
_LABEL = r"[a-z0-9_](?:[-a-z0-9_]*[a-z0-9_])?"
_LABELS = rf"{_LABEL}(?:\.{_LABEL})*"
_PATTERN = re.compile(rf"\*|(\*\.)?{_LABELS}")
_AUTHORITY = re.compile(rf"(?:(?P<name>{_LABELS})\.?|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]+)?")


class AllowedError(ValueError):
    """A variable that cannot be read; the message names it and the fix."""


@dataclass(frozen=True)
class Allowed:
    """What resources may do."""

    remote_code: bool = False
    hosts: tuple[str, ...] = (ANY_HOST,)
    """Patterns: NAME, *.NAME for every name below it, or * for all; none: no host at all."""
    machine_files: bool = False
    """Whether a policy may name `file://`, which in a cluster is a file of the gateway's own pod."""

    @property
    def every_host(self) -> bool:
        return ANY_HOST in self.hosts

    def allows(self, host: str) -> bool:
        return any(_matches(pattern, host) for pattern in self.hosts)

    def allows_url(self, url: str) -> bool:
        """Return whether the host of a URL is allowed; one that two readers may read differently is not."""
        host = host_of(url)
        return self.every_host or (host is not None and self.allows(host))


BY_DEFAULT = Allowed()
"""What an operator allows that was told nothing."""
EVERYTHING = Allowed(remote_code=True, machine_files=True)
"""What a person may do on their own machine."""


def host_of(url: str) -> str | None:
    """Return the host of a URL, without its port; None where there is none, or a user or odd characters."""
    try:
        found = _AUTHORITY.fullmatch(urlsplit(url).netloc.lower())
    except ValueError:
        return None
    if found is None:
        return None
    return found["name"] or _address(found["address"])


def read(environment: Mapping[str, str], default: Allowed) -> Allowed:
    """Return what the environment allows, or raise AllowedError; what it leaves out is the default's."""
    code = environment.get(REMOTE_CODE_VARIABLE, "").lower()
    if code not in ("true", "false", ""):
        raise AllowedError(f"{REMOTE_CODE_VARIABLE}={code}: write true or false")
    hosts = environment.get(HOSTS_VARIABLE)
    return Allowed(
        remote_code=code == "true" if code else default.remote_code,
        hosts=default.hosts if hosts is None else _patterns(hosts),
        machine_files=default.machine_files,
    )


def _patterns(written: str) -> tuple[str, ...]:
    found = tuple(each.strip().lower() for each in written.split(",") if each.strip())
    for each in found:
        if not (_PATTERN.fullmatch(each) or _address(each)):
            raise AllowedError(
                f"{HOSTS_VARIABLE}: {each} is no host: write names such as api.example.com, *.example.com or"
                " *, with commas between"
            )
    return tuple(_address(each) or each for each in found)


def _matches(pattern: str, host: str) -> bool:
    if pattern == ANY_HOST:
        return True
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _address(text: str) -> str | None:
    """Return an IPv6 address in its one way of writing."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return str(address) if isinstance(address, IPv6Address) else None
