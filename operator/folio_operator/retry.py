"""Serve never tries an application again that it gave up on, whatever became of the cause. A new nonce makes
it.
"""

from __future__ import annotations

from collections.abc import Mapping

from folio_operator.applications import application
from folio_operator.world import Application, Portfolio


def retried(
    nonces: Mapping[str, str], portfolio: Portfolio, applications: Mapping[str, Application]
) -> dict[str, str]:
    """Return the nonces, with a new one for each model that failed."""
    return {
        member.name: nonce
        for member in portfolio.members
        if (nonce := _nonce(nonces.get(member.name, ""), applications.get(application(portfolio, member))))
    }


def has_given_up(application: Application) -> bool:
    return application.state == "DEPLOY_FAILED" or (
        application.state == "UNHEALTHY" and application.replicas == 0
    )


def _nonce(current: str, application: Application | None) -> str:
    if application is None or not has_given_up(application):
        return current
    return str(int(current or "0") + 1)
