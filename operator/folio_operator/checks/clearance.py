"""Under whenNoneCleared: Refuse, somebody cleared must be left to answer, and nobody else may read along."""

from __future__ import annotations

from collections.abc import Iterator

from folio_api.governance import DataClass
from folio_operator import effective, render_table
from folio_operator.checks.places import in_entry, in_policy
from folio_operator.failure import Failure
from folio_operator.world import Member, Portfolio


def ladders_keep_a_cleared_rung(portfolio: Portfolio) -> Iterator[Failure]:
    """Every ladder can answer a request of every data class."""
    for data_class in _refusing(portfolio):
        for ladder in portfolio.ladders:
            members = [member for rung in ladder.rungs if (member := portfolio.member(rung.model))]
            if not any(is_cleared(portfolio, member, data_class) for member in members):
                message = (
                    f"no rung may see data of class {data_class.name}{_in_regions(data_class)}: add"
                    f" {data_class.name} to"
                    f" clearances of {' or '.join(member.name for member in members)} in"
                    f" ModelPortfolio/{portfolio.key.name}"
                )
                yield Failure("NotCleared", in_policy(portfolio, ladder.path), message)


def readers_are_cleared(portfolio: Portfolio) -> Iterator[Failure]:
    """A classifier and an embedder read the question too, and an adapter's base is what reads it."""
    for data_class in _refusing(portfolio):
        yield from _classifier(portfolio, data_class)
        for member in portfolio.members:
            reader = _reads_for(portfolio, member)
            if (
                reader
                and is_cleared(portfolio, member, data_class)
                and not is_cleared(portfolio, reader, data_class)
            ):
                message = (
                    f"{reader.name} reads what {member.name} is asked and may not see {data_class.name}"
                    f"{_in_regions(data_class)}: add {data_class.name} to its clearances, or remove it"
                    f" from {member.name}'s"
                )
                yield Failure("NotCleared", in_entry(portfolio, reader.entry, "clearances"), message)


def _reads_for(portfolio: Portfolio, member: Member) -> Member | None:
    if member.engine == "retriever":
        return portfolio.embedder(member)
    return portfolio.base(member) if member.engine == "adapter" else None


def _classifier(portfolio: Portfolio, data_class: DataClass) -> Iterator[Failure]:
    assert portfolio.policy is not None
    written = portfolio.policy.spec.classifier
    reader = portfolio.member(written.model) if written.model else None
    if written.type == "MiniLM":
        reader = effective.sentence_embedder(portfolio)
    if reader and not is_cleared(portfolio, reader, data_class):
        message = (
            f"{reader.name} reads every question and may not see"
            f" {data_class.name}{_in_regions(data_class)}: add"
            f" {data_class.name} to its clearances, or write classifier.type: NGram"
        )
        yield Failure("NotCleared", in_policy(portfolio, "classifier"), message)


def is_cleared(portfolio: Portfolio, member: Member, data_class: DataClass) -> bool:
    """Whether the model may see the class: granted by the portfolio, and computed where the class may be."""
    if data_class.name not in member.entry.clearances:
        return False
    return not data_class.regions or render_table.region(portfolio, member) in data_class.regions


def _refusing(portfolio: Portfolio) -> Iterator[DataClass]:
    return (each for each in portfolio.resource.spec.data_classes if each.when_none_cleared == "Refuse")


def _in_regions(data_class: DataClass) -> str:
    return f" in {' or '.join(sorted(data_class.regions))}" if data_class.regions else ""
