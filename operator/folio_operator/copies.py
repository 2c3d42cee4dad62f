"""Which keys of which Secrets a portfolio's pods read, and under which file names. Never their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from folio_api.spec import secret_file, tenant_file
from folio_operator.checks.references import secret_references, tenants_secret
from folio_operator.world import Member, Portfolio

Reader = Literal["gateway", "models"]


@dataclass(frozen=True, order=True)
class Copy:
    """One key that the operator, or `folio up`, puts where a process finds it."""

    reader: Reader
    secret: str
    key: str | None
    """None: every key of the Secret."""
    of_tenants: bool = False
    """Whether each key is a tenant's, which opens the gateway."""

    @property
    def file(self) -> str:
        return self.file_of(self.key or "*")

    def file_of(self, key: str) -> str:
        """Return the file that holds one key of the Secret."""
        return tenant_file(key) if self.of_tenants else secret_file(self.secret, key)


def copies(portfolio: Portfolio) -> tuple[Copy, ...]:
    """Return what the gateway's pods and the models' pods are given, each only what it needs."""
    found = {copy for member in portfolio.members for copy in _of(portfolio, member)}
    if tenants := tenants_secret(portfolio):
        found.add(Copy("gateway", tenants, None, of_tenants=True))
    return tuple(sorted(found, key=_order))


def _of(portfolio: Portfolio, member: Member) -> Iterator[Copy]:
    host = portfolio.base(member) if member.engine == "adapter" else member
    in_pool = host is not None and host.entry.pool is not None
    reader: Reader = "models" if in_pool and member.engine != "external" else "gateway"
    for _, secret, key in secret_references(member):
        yield Copy(reader, secret, key)


def _order(copy: Copy) -> tuple[str, str, str, bool]:
    return (copy.reader, copy.secret, copy.key or "", copy.of_tenants)
