"""Printing: people get tables and sentences, scripts get JSON; problems go to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

from folio_cli.exits import Problem
from folio_cli.progress import why
from folio_operator.plan import Plan
from folio_operator.status import Status


class Output(StrEnum):
    """How a command prints."""

    TEXT = "text"
    JSON = "json"


def console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value for scripts, never wrapped nor coloured."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def print_problem(problem: Problem) -> None:
    """Print what is wrong, one line per finding, without markup: the text may hold brackets."""
    lines = "".join(f"\n  {line}" for line in problem.lines)
    sys.stderr.write(f"folio: {problem.title}{lines}\n")


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        console().print(line, markup=False)


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "effect": plan.effect.title,
        "extraGPUs": plan.extra_gpus,
        "changes": [
            {"effect": change.effect.title, "subject": change.subject, "message": change.message}
            for change in plan.changes
        ],
        **({"offered": plan_json(plan.offered)} if plan.offered else {}),
    }


def plan_lines(plan: Plan) -> list[str]:
    """Return a plan as sentences, the gravest first."""
    offered = _offer_lines(plan.offered) if plan.offered else []
    if not plan.changes:
        return ["nothing changes", *offered]
    ordered = sorted(plan.changes, key=lambda change: -change.effect)
    lines = [f"{change.effect.title:13}  {change.subject}: {change.message}" for change in ordered]
    gpus = f", {plan.extra_gpus} GPUs more meanwhile" if plan.extra_gpus else ""
    approval = [f"  it begins once the portfolio says {plan.approval}"]
    waits = approval if plan.needs_approval else []
    return [*lines, f"plan {plan.id}: {plan.effect.title}{gpus}", *waits, *offered]


def _offer_lines(offered: Plan) -> list[str]:
    """What waits whether these files are applied or not."""
    told = "; ".join(change.message for change in offered.changes)
    return [
        f"besides, the operator was upgraded and offers plan {offered.id}: {told}",
        f"  to move there, write {offered.approval}",
    ]


def status_json(status: Status, url: str | None) -> dict[str, Any]:
    return {
        "url": url,
        "revision": status.revision,
        "conditions": [
            {"type": each.type, "status": each.status, "reason": each.reason, "message": each.message}
            for each in status.findings
        ],
        "models": [model.model_dump(mode="json") for model in status.models],
    }


def status_table(status: Status) -> Table:
    table = Table("model", "state", "replicas", "why", "stands in", box=None, pad_edge=False)
    for model in status.models:
        cause = why(model)
        table.add_row(model.name, model.state, str(model.replicas), cause, model.served_by)
    return table
