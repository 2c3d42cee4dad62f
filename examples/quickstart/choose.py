"""Say which thresholds the validation split supports, beside those that the policy has."""

import portfolio
from analysis.strategies import Ladder
from analysis.thresholds import Doubt, choose, doubt
from evidence import Evidence, evidence

SMALL, LARGE, BANK = "triage", "desk-l", "bank"


def chosen(found: Evidence) -> dict[str, float]:
    """Return the threshold of every intent whose first rung may be refused."""
    ladders = portfolio.ladders(portfolio.policy())
    return {
        intent: choose(found.validation, intent, ladder).at_least
        for intent, ladder in ladders.items()
        if intent != portfolio.DEFAULT and _may_be_refused(ladder)
    }


def _may_be_refused(ladder: Ladder) -> bool:
    return ladder.rungs[0].at_least is not None


def bank_doubt(found: Evidence) -> Doubt:
    return doubt(found.validation, BANK, SMALL, LARGE)


def bank_sentence(found: Doubt) -> str:
    verdict = "so a second rung pays" if found.second_rung_pays else "so triage answers alone"
    return (
        f"On the {found.items} validation messages that triage is least sure of, triage is right on "
        f"{found.small_right:.0%} and desk-l on {found.large_right:.0%}: {verdict}."
    )


def main() -> None:
    found = evidence()
    ladders = portfolio.ladders(portfolio.policy())
    for intent, at_least in chosen(found).items():
        print(f"{intent}: the policy has {ladders[intent].rungs[0].at_least}, validation says {at_least}")
    print(bank_sentence(bank_doubt(found)))


if __name__ == "__main__":
    main()
