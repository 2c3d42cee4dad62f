"""Serve never tries an application again that it gave up on, whatever became of the cause. A new nonce makes
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from folio_operator import effective
from folio_operator.world import Application, Member


def retried(
    nonces: Mapping[str, str], members: Iterable[Member], applications: Mapping[str, Application]
) -> dict[str, str]:
    """Return the nonces, with a new one for each model that failed."""
    return {
        member.name: nonce
        for member in members
        if (nonce := _nonce(nonces.get(member.name, ""), applications.get(effective.application(member))))
    }


def has_given_up(application: Application) -> bool:
    return application.state == "DEPLOY_FAILED" or (
        application.state == "UNHEALTHY" and application.replicas == 0
    )


def _nonce(current: str, application: Application | None) -> str:
    if application is None or not has_given_up(application):
        return current
    return str(int(current or "0") + 1)
