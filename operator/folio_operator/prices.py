"""What a model's work costs: written for hosted models, derived from the pool's price for our own."""

from __future__ import annotations

from decimal import Decimal

from folio_api.pools import Pool
from folio_api.table import Price
from folio_operator import effective
from folio_operator.world import Member, Portfolio

SECONDS_PER_HOUR = 3600
USD_DIGITS = 12


def price(portfolio: Portfolio, member: Member) -> Price:
    """Return the model's price; without a pool its replicas are CPUs of the gateway's workers and cost
    nothing more.
    """
    if member.engine == "external":
        return _token_price(member)
    host = portfolio.base(member) if member.engine == "adapter" else member
    return _replica_price(portfolio, member, host or member)


def is_known(portfolio: Portfolio, member: Member) -> bool:
    """Whether a limit in USD can be kept: the price is written, or the pool has one, or it shares the
    gateway's CPU.
    """
    host = portfolio.base(member) if member.engine == "adapter" else member
    pool = portfolio.pool(host or member)
    return member.model.spec.cost is not None or pool is None or pool.price_per_hour is not None


def _token_price(member: Member) -> Price:
    cost = member.model.spec.cost
    if cost is None:
        return Price()
    return Price(
        usd_per_million_input_tokens=float(cost.per_million_tokens.input),
        usd_per_million_output_tokens=float(cost.per_million_tokens.output),
    )


def _replica_price(portfolio: Portfolio, member: Member, host: Member) -> Price:
    """Return the tokens' price where one is written, else the replica's share of its worker's."""
    tokens = _token_price(member)
    on_gpu = effective.gpus(host) > 0
    held = float(effective.gpu_share(host)) if on_gpu else effective.cpus(host)
    pool = portfolio.pool(host)
    share = _share_of_worker(pool, host) if pool else 0.0
    usd_per_hour = float(pool.price_per_hour or 0) if pool and member.model.spec.cost is None else 0.0
    return tokens.model_copy(
        update={
            "usd_per_replica_second": round(usd_per_hour * share / SECONDS_PER_HOUR, USD_DIGITS),
            "watts_per_replica": float(pool.watts or 0) * share if pool else 0.0,
            "device": "gpu" if on_gpu else "cpu",
            "devices_per_replica": held,
        }
    )


def _share_of_worker(pool: Pool, host: Member) -> float:
    """Return which part of a worker one replica takes: by GPUs where it has any, else by CPUs."""
    gpus = effective.worker_gpus(pool)
    if gpus:
        return min(1.0, float(effective.gpu_share(host) / Decimal(gpus)))
    cpus = effective.worker_cpus(pool)
    return min(1.0, effective.cpus(host) / cpus) if cpus else 1.0
