"""What a ladder asks of its models must be something that they can do."""

from __future__ import annotations

from collections.abc import Iterator

from folio_api.policy import Accept
from folio_operator import effective, prices, render_table
from folio_operator.checks.places import in_model, in_policy
from folio_operator.failure import Failure
from folio_operator.identity import identity
from folio_operator.world import Ladder, Member, Portfolio

LOGPROB_SIGNALS = ("MeanLogprob", "MinLogprob")
GENERATED = frozenset({"Chat", "Completion"})


def ladders_have_one_task(portfolio: Portfolio) -> Iterator[Failure]:
    """A question can climb a ladder only if every rung answers the same kind of question."""
    for ladder in portfolio.ladders:
        members = _members(portfolio, ladder)
        shared = frozenset.intersection(*(answers(portfolio, member) for member in members))
        if not shared:
            kinds = ", ".join(
                f"{each.name}: {'/'.join(effective.tasks(portfolio, each))}" for each in members
            )
            message = f"its models share no task ({kinds}): give each task an intent with a ladder of its own"
            yield Failure("TaskMismatch", in_policy(portfolio, ladder.path), message)
    yield from _classifier_task(portfolio)


def answers(portfolio: Portfolio, member: Member) -> frozenset[str]:
    """Return the tasks of a model; a Classification answers chat too, with its label."""
    tasks = frozenset(effective.tasks(portfolio, member))
    return tasks | {"Chat"} if "Classification" in tasks else tasks


def _classifier_task(portfolio: Portfolio) -> Iterator[Failure]:
    name = portfolio.policy.spec.classifier.model if portfolio.policy else None
    member = portfolio.member(name) if name else None
    if member and "Chat" not in answers(portfolio, member):
        message = f"{member.name} answers neither Classification nor Chat: name a model that does"
        yield Failure("TaskMismatch", in_policy(portfolio, "classifier.model"), message)


def signals_are_available(portfolio: Portfolio) -> Iterator[Failure]:
    """A signal must be one that the model can give."""
    for ladder in portfolio.ladders:
        for index, rung in enumerate(ladder.rungs):
            member = portfolio.member(rung.model)
            problem = _signal_problem(portfolio, member, rung.accept) if member and rung.accept else None
            if problem:
                where = in_policy(portfolio, f"{ladder.path}[{index}].accept.signal")
                yield Failure("SignalUnavailable", where, problem)


def _signal_problem(portfolio: Portfolio, member: Member, accept: Accept) -> str | None:
    generates = bool(GENERATED & set(effective.tasks(portfolio, member))) and member.engine != "retriever"
    if accept.signal == "Always":
        return None
    if accept.signal == "Score":
        return (
            None
            if _has_score(portfolio, member)
            else f"{member.name} gives no Score: {_other_signal(generates)}"
        )
    if not generates:
        return f"{member.name} generates no text to take {accept.signal} from: write Score or Always"
    if accept.signal in LOGPROB_SIGNALS and "Logprobs" not in effective.features(portfolio, member):
        return (
            f"{member.name} does not declare Logprobs: add it to features of SpecialistModel"
            f" {member.entry.specialist}, or write another signal"
        )
    return None


def _has_score(portfolio: Portfolio, member: Member) -> bool:
    tasks = effective.tasks(portfolio, member)
    return member.engine == "retriever" or (member.engine == "encoder" and "Classification" in tasks)


def _other_signal(generates: bool) -> str:
    return "write MeanLogprob, Agreement, JsonSchema or Always" if generates else "write Always"


def bases_have_slots(portfolio: Portfolio) -> Iterator[Failure]:
    """An adapter needs a slot of its base, and may not have a larger rank than the slots."""
    for member in portfolio.members:
        adapter = member.model.spec.adapter
        base = portfolio.base(member) if adapter else None
        if adapter is None or base is None:
            continue
        problem = _slot_problem(portfolio, base, adapter.rank)
        if problem:
            yield Failure("BaseHasNoLoRASlots", in_model(member, "adapter.baseRef"), problem)


def _slot_problem(portfolio: Portfolio, base: Member, rank: int | None) -> str | None:
    vllm = base.model.spec.vllm
    name = base.entry.specialist
    if vllm is None or vllm.lora is None:
        return f"{name} has no slots: write vllm.lora: {{maxAdapters: 8, maxRank: {rank or 16}}} on it"
    if rank is not None and rank > vllm.lora.max_rank:
        return f"rank {rank} is above vllm.lora.maxRank {vllm.lora.max_rank} of {name}: raise maxRank"
    adapters = [each for each in portfolio.members if each.engine == "adapter"]
    count = sum(portfolio.base(each) == base for each in adapters)
    if count > vllm.lora.max_adapters:
        slots = vllm.lora.max_adapters
        return f"{count} adapters want the {slots} slots of {name}: raise vllm.lora.maxAdapters to {count}"
    return None


def prices_are_known(portfolio: Portfolio) -> Iterator[Failure]:
    """A limit in USD can only be kept if every rung has a price."""
    if portfolio.policy is None or portfolio.policy.spec.limits.max_cost_per_query is None:
        return
    asked = {rung.model for ladder in portfolio.ladders for rung in ladder.rungs}
    for member in portfolio.members:
        if member.name in asked and not prices.is_known(portfolio, member):
            message = (
                f"limits.maxCostPerQuery needs the price of {member.name}: write pricePerHour on pool"
                f" {member.entry.pool or 'of its base'}, or cost on SpecialistModel {member.entry.specialist}"
            )
            yield Failure("PriceMissing", in_policy(portfolio, "limits.maxCostPerQuery"), message)


def targets_are_certified(portfolio: Portfolio) -> Iterator[Failure]:
    """A promised error rate needs a certificate in the artifact, where anybody could read it."""
    if portfolio.certificates is None:
        return
    for ladder in portfolio.ladders:
        for index, rung in enumerate(ladder.rungs):
            member, accept = portfolio.member(rung.model), rung.accept
            if member and accept and accept.target and not _is_certified(portfolio, ladder, member, accept):
                where = in_policy(portfolio, f"{ladder.path}[{index}].accept.target")
                message = (
                    f"the artifact certifies no threshold of {accept.signal} for {member.name} that"
                    " keeps errors at"
                    f" {accept.target.max_error_rate}: calibrate this model again, or write atLeast"
                )
                yield Failure("TargetNotCertified", where, message)


def _is_certified(portfolio: Portfolio, ladder: Ladder, member: Member, accept: Accept) -> bool:
    assert accept.target is not None
    confidence = float(accept.target.confidence or render_table.TARGET_CONFIDENCE)
    return any(
        each.covers(ladder.intent, accept.signal, float(accept.target.max_error_rate), confidence)
        for each in portfolio.certificates or ()
        if each.model == identity(portfolio, member)
    )


def table_fits(portfolio: Portfolio) -> Iterator[Failure]:
    """The table travels in Serve's configuration, which is not made for megabytes."""
    size = render_table.size_bytes(render_table.routing_table(portfolio))
    if size > render_table.MAX_TABLE_BYTES:
        message = (
            f"the routing table has {size // 1024} KiB, at most {render_table.MAX_TABLE_BYTES // 1024}"
            " are allowed:"
            " write fewer or shorter examples; what is learned from many belongs into artifact"
        )
        yield Failure("TableTooLarge", in_policy(portfolio, "intents"), message)


def _members(portfolio: Portfolio, ladder: Ladder) -> tuple[Member, ...]:
    found = (portfolio.member(rung.model) for rung in ladder.rungs)
    return tuple(member for member in found if member is not None)
