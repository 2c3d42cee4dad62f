"""What is wanted must fit on the hardware that is declared."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import ceil

from folio_api.pools import Pool, Volume
from folio_operator import effective
from folio_operator.checks.places import in_entry, in_model, in_policy, in_portfolio
from folio_operator.checks.supported import source_uris
from folio_operator.failure import Failure
from folio_operator.world import Member, Portfolio

VOLUME_SCHEME = "volume://"


def gpu_models_have_a_pool(portfolio: Portfolio) -> Iterator[Failure]:
    """Models without a pool run beside the gateway, where there is no GPU."""
    for member in portfolio.members:
        if effective.gpus(member) and member.entry.pool is None:
            message = (
                f"{member.name} wants {effective.gpus(member)} GPU and has no pool: write pool, or gpus: 0 on"
                f" SpecialistModel {member.entry.specialist}"
            )
            yield Failure("PoolRequired", in_entry(portfolio, member.entry, "pool"), message)


def pools_hold_a_replica(portfolio: Portfolio) -> Iterator[Failure]:
    """One replica fits on one worker."""
    for member in portfolio.members:
        pool = portfolio.pool(member)
        for resource, wanted, held in _excess(member, pool) if pool else ():
            message = (
                f"a replica of {member.name} wants {wanted} {resource}, a worker of pool"
                f" {member.entry.pool} has {held}:"
                " raise the pool's resources.limits, or name another pool"
            )
            yield Failure("PoolTooSmall", in_entry(portfolio, member.entry, "pool"), message)


def _excess(member: Member, pool: Pool) -> Iterator[tuple[str, str, str]]:
    gpus, held = effective.gpus(member), effective.worker_gpus(pool)
    if gpus > held:
        yield "GPU", str(gpus), str(held)
    vllm = member.model.spec.vllm
    limits = effective.amounts(pool.resources)
    wanted = {"cpu": vllm.resources.cpu, "memory": vllm.resources.memory} if vllm else {}
    for resource, amount in wanted.items():
        if amount is not None and resource in limits and amount.value > limits[resource]:
            shown = {**pool.resources.requests, **pool.resources.limits}[resource]
            yield resource, str(amount), str(shown)


def pools_hold_the_minimum(portfolio: Portfolio) -> Iterator[Failure]:
    """All minReplicas of a pool's models fit on its maxWorkers."""
    for pool in portfolio.resource.spec.pools:
        members = [each for each in portfolio.members if each.entry.pool == pool.name]
        needed = workers_needed(pool, members)
        if needed > pool.max_workers and all(not list(_excess(each, pool)) for each in members):
            names = ", ".join(each.name for each in members)
            beside = " and a second application" if _second_share(members) else ""
            message = (
                f"the minReplicas of {names}{beside} need {needed} workers:"
                f" raise maxWorkers to {needed}, or lower a model's scaling.minReplicas"
            )
            yield Failure("PoolTooSmall", in_portfolio(portfolio, f"pools[{pool.name}].maxWorkers"), message)


def workers_needed(pool: Pool, members: list[Member]) -> int:
    """Return the workers that hold every model's minReplicas and a BlueGreen update, as GPUs count."""
    held = effective.worker_gpus(pool)
    if not held:
        return pool.min_workers
    wanted = sum(
        (effective.gpu_share(each) * each.entry.scaling.min_replicas for each in members), Decimal(0)
    )
    return max(pool.min_workers, ceil((wanted + _second_share(members)) / held))


def _second_share(members: list[Member]) -> Decimal:
    """Return the GPUs of the largest second application: more than one wait for each other."""
    shares = (
        effective.gpu_share(each) * effective.second_replicas(each)
        for each in members
        if each.entry.update_strategy.type == "BlueGreen"
    )
    return max(shares, default=Decimal(0))


def gpu_ceiling_holds(portfolio: Portfolio) -> Iterator[Failure]:
    """MaxGPUs holds every minReplicas and what one model's update takes besides, and all minWorkers."""
    ceiling = portfolio.resource.spec.max_gpus
    if ceiling is None:
        return
    always = sum(effective.gpus(each) * each.entry.scaling.min_replicas for each in portfolio.members)
    surge = max((_surge(each) for each in portfolio.members), default=0)
    if always + surge > ceiling:
        message = (
            f"minReplicas take {always} GPUs and an update {surge} more: raise maxGPUs to"
            f" {always + surge}, lower a"
            " minReplicas, or write updateStrategy.type: Recreate"
        )
        yield Failure("GPUCeilingTooLow", in_portfolio(portfolio, "maxGPUs"), message)
        return
    workers = [
        (pool.name, least_workers(portfolio, pool), effective.worker_gpus(pool))
        for pool in portfolio.resource.spec.pools
    ]
    wanted = sum(least * gpus for _, least, gpus in workers)
    if wanted > ceiling:
        named = ", ".join(f"{least} x {gpus} in pool {name}" for name, least, gpus in workers if least * gpus)
        message = (
            f"the workers that always run take {wanted} GPUs ({named}): raise maxGPUs to {wanted}, or lower a"
            " minWorkers or a minReplicas"
        )
        yield Failure("GPUCeilingTooLow", in_portfolio(portfolio, "maxGPUs"), message)


def least_workers(portfolio: Portfolio, pool: Pool) -> int:
    """Return the workers that a pool keeps room for, whatever its models do."""
    members = [member for member in portfolio.members if member.entry.pool == pool.name]
    return min(pool.max_workers, workers_needed(pool, members))


def _surge(member: Member) -> int:
    """Return the GPUs that an update of the model takes beside what serves."""
    strategy = member.entry.update_strategy
    if strategy.type == "BlueGreen":
        return effective.gpus(member) * effective.second_replicas(member)
    surges = strategy.type == "RollingUpdate" and strategy.max_surge_percent > 0
    return effective.gpus(member) if surges and member.entry.scaling.min_replicas > 0 else 0


def queues_are_visible(portfolio: Portfolio) -> Iterator[Failure]:
    """Requests that wait inside a replica are invisible to the autoscaler, so it aims at half of what one
    takes.
    """
    for member in portfolio.members:
        target, at_once = member.entry.scaling.target_ongoing_requests, effective.requests_at_once(member)
        if target is not None and effective.has_own_application(member) and target > at_once // 2:
            message = (
                f"{target} is above half of the {at_once} requests that a replica takes at once: write"
                " at most"
                f" {at_once // 2}{_raise_sequences(member, target)}"
            )
            where = in_entry(portfolio, member.entry, "scaling.targetOngoingRequests")
            yield Failure("QueueHidden", where, message)


def _raise_sequences(member: Member, target: int) -> str:
    return f", or vllm.engineArgs.max_num_seqs: {2 * target}" if member.engine == "vllm" else ""


def volumes_are_declared(portfolio: Portfolio) -> Iterator[Failure]:
    """A volume:// is one of the pool that reads it, or of the gateway for what has no pool."""
    for member in portfolio.members:
        host = portfolio.base(member) if member.engine == "adapter" else member
        pool = portfolio.pool(host) if host else None
        for field, uri in source_uris(member.model.spec):
            yield from _undeclared(portfolio, in_model(member, field), uri, pool)
    artifact = portfolio.policy.spec.artifact if portfolio.policy else None
    if artifact:
        yield from _undeclared(portfolio, in_policy(portfolio, "artifact.uri"), artifact.uri, None)


def _undeclared(portfolio: Portfolio, where: str, uri: str, pool: Pool | None) -> Iterator[Failure]:
    name = volume_of(uri)
    volumes: tuple[Volume, ...] = pool.volumes if pool else portfolio.resource.spec.gateway.volumes
    if name is not None and name not in {volume.name for volume in volumes if volume.purpose == "Source"}:
        place = in_portfolio(portfolio, f"pools[{pool.name}].volumes" if pool else "gateway.volumes")
        message = (
            f"volume {name} is not declared: add {{name: {name}, claimName: {name}, purpose: Source}} to"
            f" {place}"
        )
        yield Failure("VolumeNotDeclared", where, message)


def volume_of(uri: str) -> str | None:
    """Return the volume's name of a volume:// URI."""
    return uri.removeprefix(VOLUME_SCHEME).split("/")[0] if uri.startswith(VOLUME_SCHEME) else None
