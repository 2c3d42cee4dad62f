"""The status that the operator wrote, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from folio_cli.cluster.reading import Held
from folio_cli.exits import Problem, UsageProblem
from folio_operator.cluster import Body, key_of
from folio_operator.reports import PORTFOLIO_MEMBERS

ELSEWHERE = (
    "apply one: kubectl apply -f modelportfolio.yaml",
    "or name its namespace: kubectl get modelportfolios -A lists them",
)


def chosen(held: Held, name: str | None) -> Body:
    """Return the portfolio that is meant."""
    names = sorted(key_of(each).name for each in held.portfolios)
    if name is None and len(names) > 1:
        raise UsageProblem(
            f"namespace {held.namespace} has several portfolios",
            [f"add --portfolio with one of {', '.join(names)}"],
        )
    found = held.portfolio(name or (names[0] if names else ""))
    if found is None:
        raise Problem(
            f"namespace {held.namespace} has no ModelPortfolio {name or ''}".rstrip(),
            [f"there is: {', '.join(names)}"] if names else list(ELSEWHERE),
        )
    return found


def as_json(portfolio: Body) -> dict[str, Any]:
    key, status = key_of(portfolio), portfolio.get("status") or {}
    shown = {name: status[name] for name in PORTFOLIO_MEMBERS if name in status}
    generation = portfolio["metadata"].get("generation")
    return {"name": key.name, "namespace": key.namespace, "generation": generation, **shown}


def lines(portfolio: Body) -> Iterator[str]:
    """Return all but the models' table."""
    key, status = key_of(portfolio), portfolio.get("status") or {}
    revision = (status.get("active") or {}).get("revision", "unconfirmed")
    url = status.get("url", "no address yet")
    yield f"portfolio {key.namespace}/{key.name} at {url}, revision {revision}"
    if status.get("observedGeneration") != portfolio["metadata"].get("generation"):
        yield "the operator has not looked at the newest edit yet"
    if "gpus" in status:
        yield f"GPUs: {status['gpus']['allocated']} of {status['gpus']['requested']} requested are allocated"
    if "candidate" in status:
        yield f"canary: {status['candidate'].get('message', '')}"
    if "plan" in status:
        plan = status["plan"]
        yield f'waits for approval of plan "{plan["id"]}": {plan.get("message", "")}'


def conditions(portfolio: Body) -> Iterator[str]:
    for each in _conditions(portfolio):
        message = f": {each['message']}" if each.get("message") else ""
        yield f"{each['type']}: {each['status']} {each['reason']}{message}"


def models(portfolio: Body) -> Table:
    table = Table("model", "state", "replicas", "why", "stands in", box=None, pad_edge=False)
    for each in (portfolio.get("status") or {}).get("models") or ():
        why = each.get("message") or each.get("reason") or ""
        shown = why if each["state"] not in ("Ready", "Idle") else ""
        table.add_row(
            each["name"], each["state"], str(each.get("replicas", 0)), shown, each.get("servedBy", "")
        )
    return table


def is_ready(portfolio: Body) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in _conditions(portfolio))


def _conditions(portfolio: Body) -> tuple[Mapping[str, Any], ...]:
    return tuple((portfolio.get("status") or {}).get("conditions") or ())
