"""Everything across objects that a portfolio must fulfil before it is served; read in order, it is the
specification.

A stage assumes that the stages before it found nothing: where a model is missing, nothing is said of what it
can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from folio_operator.checks import allowance, capacity, clearance, door, fit, references, supported
from folio_operator.failure import Failure
from folio_operator.world import Portfolio

Check = Callable[[Portfolio], Iterable[Failure]]

STAGES: tuple[tuple[Check, ...], ...] = (
    (
        supported.portfolio_fields,
        supported.policy_fields,
        supported.model_fields,
        allowance.remote_code_is_allowed,
        allowance.hosts_are_allowed,
        allowance.files_are_of_a_volume,
        references.policy_exists,
        references.models_exist,
    ),
    (
        supported.second_applications,
        references.rungs_are_models,
        references.bases_are_served,
        references.embedders_are_served,
        references.secrets_exist,
        door.tenants_have_keys,
        capacity.gpu_models_have_a_pool,
        capacity.volumes_are_declared,
    ),
    (
        fit.ladders_have_one_task,
        fit.signals_are_available,
        fit.bases_have_slots,
        fit.prices_are_known,
        fit.targets_are_certified,
        capacity.pools_hold_a_replica,
        capacity.pools_hold_the_minimum,
        capacity.gpu_ceiling_holds,
        capacity.queues_are_visible,
        clearance.ladders_keep_a_cleared_rung,
        clearance.readers_are_cleared,
    ),
    (fit.table_fits,),
)


def failures(portfolio: Portfolio) -> tuple[Failure, ...]:
    """Return all that is wrong, as far as one can tell before it is put right."""
    for stage in STAGES:
        found = tuple(failure for check in stage for failure in check(portfolio))
        if found:
            return found
    return ()


def first_failure(portfolio: Portfolio) -> Failure | None:
    """Return what the condition says."""
    return next(iter(failures(portfolio)), None)
