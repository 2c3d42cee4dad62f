"""The quickstart's portfolio as this example needs it: its ladders, and a policy to ask each model alone."""

from pathlib import Path
from typing import Any

import yaml

from analysis.strategies import Ladder, Rung
from folio_api.load import load
from folio_api.policy import RoutingPolicySpec
from folio_api.policy import Rung as WrittenRung

FILE = Path(__file__).parent / "modelportfolio.yaml"
DEFAULT = "default"
"""What a question is called here that belongs to no intent: it climbs the default ladder."""
SIGNALS = {
    "triage": "Score",
    "handbook": "Score",
    "desk-s": "MinLogprob",
    "desk-l": "MinLogprob",
    "general": "MinLogprob",
}
"""The models that answer, and what each one's confidence is."""
LARGEST = "desk-l"


def policy(path: Path = FILE) -> RoutingPolicySpec:
    loaded = load([path])
    if loaded.errors:
        raise SystemExit("\n".join(str(error) for error in loaded.errors))
    return next(iter(loaded.policies.values())).spec


def ladders(spec: RoutingPolicySpec) -> dict[str, Ladder]:
    found = {
        intent.name: Ladder(
            _rungs(intent.ladder), refuses=(intent.on_exhausted or spec.on_exhausted) == "Refuse"
        )
        for intent in spec.intents
    }
    return found | {DEFAULT: Ladder(_rungs(spec.default_ladder), refuses=spec.on_exhausted == "Refuse")}


def _rungs(written: tuple[WrittenRung, ...]) -> tuple[Rung, ...]:
    return tuple(Rung(rung.model, _at_least(rung)) for rung in written)


def _at_least(rung: WrittenRung) -> float | None:
    if rung.accept is None or rung.accept.at_least is None:
        return None
    return float(rung.accept.at_least)


def one_by_one(path: Path = FILE) -> str:
    """Return the YAML with a policy under which `folio/only-NAME` asks one model and says how sure it was.

    A model asked by its own name is never judged, so that its answer carries no confidence.
    """
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    written = next(document for document in documents if document["kind"] == "RoutingPolicy")
    written["spec"]["intents"] += [_only(model, signal) for model, signal in SIGNALS.items()]
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)


def only(model: str) -> str:
    return f"only-{model}"


def _only(model: str, signal: str) -> dict[str, Any]:
    return {
        "name": only(model),
        "matchAny": {"headers": [{"name": "x-only", "value": model}]},
        "ladder": [{"model": model, "accept": {"signal": signal, "atLeast": "0"}}],
    }
