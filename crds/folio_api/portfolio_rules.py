"""What must agree between the lists of a ModelPortfolio: CEL rules, each naming the entry that is wrong."""

from folio_api.markers import Rule, none_of

POOLS = none_of(
    """self.models.filter(model, has(model.pool)
        && !(has(self.pools) && self.pools.exists(pool, pool.name == model.pool)))""",
    "pool must name an entry of pools: add the pool, or correct the name",
    within=".models",
    field="pool",
)
CLEARANCES = none_of(
    """self.models.filter(model, has(model.clearances) && !model.clearances.all(clearance,
        has(self.dataClasses) && self.dataClasses.exists(data, data.name == clearance)))""",
    "clearances must name entries of dataClasses: add the data class, or correct the name",
    within=".models",
    field="clearances",
)
CLEARED = none_of(
    """(has(self.dataClasses) ? self.dataClasses : []).filter(data,
        (!has(data.whenNoneCleared) || data.whenNoneCleared == 'Refuse')
        && !self.models.exists(model, has(model.clearances) && data.name in model.clearances))""",
    "a data class needs a model that is cleared for it: add it to a model's clearances, or write"
    " whenNoneCleared: Redact",
    within=".dataClasses",
    field="name",
)
PRICED = none_of(
    """(has(self.budgets) && self.budgets.exists(budget, has(budget.limit.usd)) && has(self.pools)
        ? self.pools : []).filter(pool, !has(pool.pricePerHour))""",
    "a budget in usd needs every pool's pricePerHour: add it, or write the limit in tokens or requests",
    within=".pools",
    field="pricePerHour",
)
TENANTS = none_of(
    """(has(self.budgets) && !(has(self.gateway) && has(self.gateway.auth)) ? self.budgets : [])
        .filter(budget, budget.scope == 'Tenant')""",
    "a budget of scope Tenant needs gateway.auth, which tells tenants apart: add it, or write"
    " scope: Portfolio",
    within=".budgets",
    field="scope",
)
PORTFOLIO_RULES: tuple[Rule, ...] = (POOLS, CLEARANCES, CLEARED, PRICED, TENANTS)
