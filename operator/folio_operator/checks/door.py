"""The door: whoever may come in is known, and told apart from everybody else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from folio_operator.checks.places import in_portfolio
from folio_operator.failure import Failure
from folio_operator.world import Portfolio, TenantKey

FIELD = "gateway.auth.apiKeys.secretRef"


def tenants_have_keys(portfolio: Portfolio) -> Iterator[Failure]:
    """Every data key of the Secret is a tenant with good keys, and no key opens for two tenants."""
    auth = portfolio.resource.spec.gateway.auth
    if auth is None or auth.api_keys is None or portfolio.tenant_keys is None:
        return
    secret = auth.api_keys.secret_ref.name
    for message in _faults(portfolio.tenant_keys):
        yield Failure("TenantKeyInvalid", in_portfolio(portfolio, FIELD), f"Secret {secret}: {message}")


def _faults(keys: Iterable[TenantKey]) -> Iterator[str]:
    """Return what is wrong, without a character of a key."""
    owners: dict[str, set[str]] = {}
    empty = True
    for key in keys:
        empty = False
        if key.fault:
            yield f"tenant {key.tenant}: {key.fault}"
        else:
            owners.setdefault(key.digest, set()).add(key.tenant)
    if empty:
        yield "it names no tenant: add a data key for each, with its key as the value"
    for tenants in sorted(sorted(each) for each in owners.values() if len(each) > 1):
        yield f"{' and '.join(tenants)} have the same key: give each one of its own"
