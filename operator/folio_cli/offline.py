"""A routing decision from files alone, by the very code that a gateway runs."""

from __future__ import annotations

import json
from typing import Any

from folio_api.table import Table
from folio_cli.exits import Problem
from folio_serving.classify.intent import intent_classifier
from folio_serving.errors import Trouble
from folio_serving.openai import parse_query
from folio_serving.route import Refused, Route, Router


def explained(table: Table, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """Return the decision as the gateway would explain it."""
    try:
        facts = parse_query("chat", body, headers).facts
    except Trouble as trouble:
        raise Problem("no gateway would take this request", [str(trouble)]) from trouble
    found = Router(table, intent_classifier(table)).route(facts)
    if isinstance(found, Route):
        explanation = {"revision": table.revision, **found.explanation()}
        return dict(json.loads(json.dumps(explanation)))
    if isinstance(found, Refused):
        raise Problem(f"nobody answers this ({found.reason})", [found.message])
    asked = table.classifier.model or table.classifier.type
    fix = "start the portfolio, then route without -f"
    raise Problem(f"the classifier asks {asked}, which only a running portfolio can", [fix])
