"""From files to one portfolio, with everything that is wrong said at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from folio_api.load import Loaded, load
from folio_api.portfolio import ModelPortfolio
from folio_cli.certificates import certificates
from folio_cli.exits import UsageProblem
from folio_operator import allowed, checks
from folio_operator.copies import Copy, copies
from folio_operator.tenants import tenant_keys
from folio_operator.world import Portfolio, TenantKey, gather

SECRET_VARIABLE = "FOLIO_SECRET_"  # noqa: S105 - the beginning of a variable's name


@dataclass(frozen=True)
class Given:
    """A portfolio from files, and the Secrets and ConfigMaps beside it."""

    portfolio: Portfolio
    loaded: Loaded
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.portfolio.key.name


def read(files: Iterable[Path], name: str | None = None, environ: Mapping[str, str] | None = None) -> Given:
    """Return the portfolio in these files, or raise UsageProblem with every error of every file."""
    return given(loaded(files), name, environ)


def loaded(files: Iterable[Path]) -> Loaded:
    """Return all that the files hold, or raise UsageProblem with every error of every file."""
    found = load(files)
    if found.errors:
        count = len(found.errors)
        title = f"{count} error{'s' if count > 1 else ''} in the files"
        raise UsageProblem(title, [str(error) for error in found.errors])
    return found


def given(loaded: Loaded, name: str | None = None, environ: Mapping[str, str] | None = None) -> Given:
    """Return the portfolio that is meant, with what it refers to."""
    resource = _chosen(tuple(loaded.portfolios.values()), name)
    portfolio = gather(resource, loaded.policies.values(), loaded.models.values())
    return Given(portfolio, loaded, os.environ if environ is None else environ)


def checked(
    given: Given,
    volumes: Mapping[str, Path] | None = None,
    *,
    with_secrets: bool = True,
    for_cluster: bool = False,
) -> Portfolio:
    """Return the portfolio with its Secrets' keys, or raise UsageProblem with all that the checks found."""
    known = known_keys(given) if with_secrets else None
    portfolio = replace(
        given.portfolio,
        secrets=known,
        tenant_keys=_tenant_keys(given, known or {}),
        allowed=_allowed(given.environ, for_cluster=for_cluster),
    )
    portfolio = certificates(portfolio, volumes or {})
    found = checks.failures(portfolio)
    if found:
        lines = [f"{failure} ({failure.reason})" for failure in found]
        raise UsageProblem(f"portfolio {given.name} is not accepted", lines + _secret_hint(found))
    return portfolio


def _allowed(environ: Mapping[str, str], *, for_cluster: bool) -> allowed.Allowed:
    """Return what the environment allows: everything it does not speak of, but for what no cluster allows."""
    default = replace(allowed.EVERYTHING, machine_files=not for_cluster)
    try:
        return allowed.read(environ, default)
    except allowed.AllowedError as error:
        raise UsageProblem(str(error)) from error


def _tenant_keys(given: Given, known: Mapping[str, frozenset[str]]) -> tuple[TenantKey, ...] | None:
    """Return the keys that open the gateway, by their digests; None where their Secret is not there."""
    copy = next((each for each in copies(given.portfolio) if each.of_tenants), None)
    return tenant_keys(values(given, copy)) if copy and copy.secret in known else None


def _secret_hint(found: Iterable[object]) -> list[str]:
    if not any(getattr(each, "reason", "") == "SecretNotFound" for each in found):
        return []
    return [f"a Secret is a document in -f, or variables {SECRET_VARIABLE}<NAME>_<KEY> in the environment"]


def _chosen(portfolios: tuple[ModelPortfolio, ...], name: str | None) -> ModelPortfolio:
    names = sorted(each.key.name for each in portfolios)
    if not portfolios:
        raise UsageProblem("the files hold no ModelPortfolio", ["add the file with it: -f portfolio.yaml"])
    wanted = [each for each in portfolios if name in (None, each.key.name)]
    if len(wanted) == 1:
        return wanted[0]
    if not wanted:
        raise UsageProblem(f"the files hold no ModelPortfolio {name}", [f"there is: {', '.join(names)}"])
    raise UsageProblem(
        "the files hold several ModelPortfolios", [f"add --portfolio with one of {', '.join(names)}"]
    )


def known_keys(given: Given) -> dict[str, frozenset[str]]:
    """Return the keys of every Secret that the portfolio names, from the files and the environment."""
    keys: dict[str, frozenset[str]] = {}
    for copy in copies(given.portfolio):
        held = frozenset(values(given, copy))
        if held or _document(given, copy.secret) is not None:
            keys[copy.secret] = keys.get(copy.secret, frozenset()) | held
    return keys


def values(given: Given, copy: Copy) -> dict[str, bytes]:
    """Return what a Secret holds, of one key or of all; the environment wins over the files."""
    written = dict(_document(given, copy.secret) or {})
    prefix = variable(copy.secret, "")
    others = {variable(each.secret, "") for each in copies(given.portfolio)} - {prefix}
    longer = tuple(each for each in others if each.startswith(prefix))
    for name, value in given.environ.items():
        if name.startswith(prefix) and len(name) > len(prefix) and not name.startswith(longer):
            written[_key_of(name.removeprefix(prefix), written, copy.key)] = value.encode()
    return {key: value for key, value in written.items() if copy.key in (None, key)}


def variable(secret: str, key: str) -> str:
    """Return the variable that holds a Secret's key: FOLIO_SECRET_FRONTIER_TOKEN."""
    return f"{SECRET_VARIABLE}{_upper(secret)}_{_upper(key)}"


def _key_of(suffix: str, written: Mapping[str, bytes], wanted: str | None) -> str:
    """Return the key that a variable's end stands for: the one asked for or written, else the end itself."""
    candidates = [*([wanted] if wanted else []), *written]
    return next((key for key in candidates if _upper(key) == suffix), suffix)


def _upper(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", text).upper()


def _document(given: Given, secret: str) -> Mapping[str, bytes] | None:
    for key, found in given.loaded.secrets.items():
        if key.name == secret and key.namespace == given.portfolio.key.namespace:
            return found.values
    return None
