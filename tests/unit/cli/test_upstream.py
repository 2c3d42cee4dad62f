"""Another portfolio as the last rung."""

from __future__ import annotations

import pytest
from tests.unit.operator.desk import PORTFOLIO, desk

from folio_api.load import Loaded
from folio_cli.exits import UsageProblem
from folio_cli.inputs import Given, checked
from folio_cli.upstream import Upstream, with_upstream
from folio_operator import checks
from folio_operator.render_table import routing_table

UPSTREAM = Upstream("https://folio.example.com/v1", key="k3y")


def ladders(portfolio) -> dict[str, list[tuple[str, str]]]:
    table = routing_table(portfolio)
    named = {intent.name: intent.ladder for intent in table.intents} | {"": table.default_ladder}
    return {name: [(rung.model, rung.accept.signal) for rung in ladder] for name, ladder in named.items()}


def test_it_stands_below_every_ladder_that_chats():
    found = ladders(with_upstream(desk(), UPSTREAM))

    assert found["facts"] == [("handbook", "Score"), ("upstream", "Always")]
    assert found[""] == [("general", "MeanLogprob"), ("frontier", "Always"), ("upstream", "Always")]


def test_what_folio_up_checks_and_serves_still_has_it():
    given = Given(with_upstream(desk(), UPSTREAM), Loaded(), {})

    served = checked(given, with_secrets=False)

    assert ladders(served)["facts"] == [("handbook", "Score"), ("upstream", "Always")]


def test_vectors_are_never_asked_of_it():
    assert ladders(with_upstream(desk(), UPSTREAM))["search"] == [("minilm", "Always")]


def test_the_result_passes_the_checks_and_keeps_its_clearances():
    extended = with_upstream(desk(), UPSTREAM)

    assert checks.failures(extended) == ()
    assert routing_table(extended).models[-1].name == "upstream"
    assert routing_table(extended).models[-1].clearances == ()
    assert routing_table(extended).models[-1].external.api_key_file == "upstream.api-key"


def test_a_name_that_is_taken_is_a_usage_problem():
    taken = desk({PORTFOLIO: {"models.6": {"name": "upstream", "modelRef": {"name": "frontier"}}}})

    with pytest.raises(UsageProblem, match="has a model upstream already"):
        with_upstream(taken, UPSTREAM)
