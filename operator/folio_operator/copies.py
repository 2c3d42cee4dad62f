"""Which keys of which Secrets a portfolio's pods read, and under which file names. Never their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from folio_api.spec import secret_file
from folio_operator.checks.references import secret_references
from folio_operator.world import Member, Portfolio

Reader = Literal["gateway", "models"]


@dataclass(frozen=True, order=True)
class Copy:
    """One key that the operator, or `folio up`, puts where a process finds it."""

    reader: Reader
    secret: str
    key: str | None
    """None: every key of the Secret."""

    @property
    def file(self) -> str:
        return secret_file(self.secret, self.key or "*")


def copies(portfolio: Portfolio) -> tuple[Copy, ...]:
    """Return what the gateway's pods and the models' pods are given, each only what it needs."""
    return tuple(
        sorted({copy for member in portfolio.members for copy in _of(portfolio, member)}, key=_order)
    )


def _of(portfolio: Portfolio, member: Member) -> Iterator[Copy]:
    host = portfolio.base(member) if member.engine == "adapter" else member
    in_pool = host is not None and host.entry.pool is not None
    reader: Reader = "models" if in_pool and member.engine != "external" else "gateway"
    for _, secret, key in secret_references(member):
        yield Copy(reader, secret, key)


def _order(copy: Copy) -> tuple[str, str, str]:
    return (copy.reader, copy.secret, copy.key or "")
