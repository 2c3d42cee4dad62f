"""`folio plan`: what an edit would do, before it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from folio_cli import inputs, options, show
from folio_cli.cluster import planning, reading
from folio_cli.local.applied import load_applied
from folio_cli.local.state import StateDir
from folio_operator import plan as plans
from folio_operator import site
from folio_operator.canary import with_trial
from folio_operator.desired import Circumstances, Desired, desired

LOCAL = Circumstances(site=site.local(site.HTTP_PORT))
"""What runs here has no pods: a change of them is one in place."""
Against = Annotated[
    list[Path] | None,
    typer.Option("--against", help="Compare with these files instead of what runs; for a pull request's CI."),
]


def plan(
    file: options.Files,
    against: Against = None,
    portfolio: options.Name = None,
    state_dir: options.Folder = None,
    context: options.Context = None,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    output: options.Format = show.Output.TEXT,
) -> None:
    """Tell what applying these files would do.

    Ends with 0 if all is in place, 2 if a model restarts, 3 if a new cluster is needed, 64 for wrong files.
    The plan's id is what rollout.newCluster.approvedPlan must say.

    \b
    Examples:
      folio plan -f modelportfolio.yaml
      folio plan -f new.yaml --against old.yaml --output json
      folio plan -f policy.yaml --context production
      kubectl folio plan -f modelportfolio.yaml -n bank
    """
    place = None if against or state_dir else reading.where(context, namespace, kubeconfig)
    if place is not None:
        found = planning.plan_on(place, file, portfolio)
    else:
        found = _of_this_machine(file, against, portfolio, state_dir)
    if output is show.Output.JSON:
        show.print_json(show.plan_json(found))
    else:
        show.print_lines(show.plan_lines(found))
    raise typer.Exit(int(found.effect))


def _of_this_machine(
    file: list[Path], against: list[Path] | None, portfolio: str | None, state_dir: Path | None
) -> plans.Plan:
    given = inputs.read(file, portfolio)
    accepted = inputs.checked(given, with_secrets=False)
    if against:
        before = inputs.checked(inputs.read(against, given.name), with_secrets=False)
        found = plans.plan(desired(accepted, plans.PLANNED), desired(before, plans.PLANNED))
        return with_trial(found, accepted, before)
    running = _applied(StateDir.of(given.name, state_dir))
    return plans.plan(desired(accepted, LOCAL if running else plans.PLANNED), running)


def _applied(state: StateDir) -> Desired | None:
    held = load_applied(state) if state.load() is not None else None
    return desired(held.portfolio, LOCAL) if held else None
