"""From a request's facts to the ladder that may answer it. Pure: a Router is compiled once a table, and
asks nobody.

Order: data classes, then headers, keywords and inputs, then the classifier, then the default ladder.
Whatever chose the ladder, a model that is not cleared for the request's data classes is on none of its
rungs, in no role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from folio_api.table import DataClass, Feature, Input, Intent, OnExhausted, Rung, Table, Task
from folio_serving.classify.opinion import NO_OPINION, IntentClassifier, Opinion
from folio_serving.clearance import Clearances
from folio_serving.fit import Admission, Fit, Skip
from folio_serving.keywords import KeywordMatcher

PORTFOLIO_MODEL = "folio"
"""The model name under which the portfolio as a whole is asked; `folio/<intent>` asks for one intent."""

Source = Literal["header", "keyword", "input", "classifier", "default", "direct"]
RefusalReason = Literal["NotCleared", "UnknownModel", "ModelRequired", "Unsupported", "NotSupported"]
"""403, 404, and three times 400: no one model for the task, nobody can do it, this version cannot."""

_ONE_MODEL_TASKS: frozenset[Task] = frozenset({"Embedding", "Rerank", "Transcription"})
_NOT_SUPPORTED: frozenset[Task] = frozenset({"Rerank", "Transcription"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What routing knows of a request. Header names are lower case."""

    task: Task
    asked: str
    """The body's `model`."""
    text: str = ""
    """What the request is about, for keywords and classifier: the last user message."""
    texts: tuple[str, ...] = ()
    """Every text of the request, system and tool messages and tool definitions too: what the detectors
    read."""
    readable: bool = True
    """False for token ids, which no detector reads."""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    inputs: frozenset[Input] = frozenset()
    """Beyond text."""
    features: frozenset[Feature] = frozenset()
    """What an answer needs: Tools, JSONSchema (a json_schema response format), Logprobs."""
    prompt_tokens: int = 0
    """An estimate: `cost.estimate_tokens`; of several prompts the longest: each must fit by itself."""
    further_prompt_tokens: int = 0
    """Of the others: they cost as well."""
    max_tokens: int | None = None
    tool_issuer: str | None = None
    """Who awaits the tool results at the tail: `toolcalls.issuer`."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who may answer, in order, and how that was found."""

    intent: str | None
    """None: the default ladder, or a specialist asked by name."""
    source: Source
    ladder: tuple[Rung, ...]
    on_exhausted: OnExhausted
    skipped: tuple[Skip, ...] = ()
    data_classes: tuple[str, ...] = ()
    matched: str = ""
    """The header, keyword or input that decided."""
    opinion: Opinion | None = None
    """What the classifier said, when it was asked; also when it was too unsure to decide."""

    def explanation(self) -> dict[str, Any]:
        """Return the decision as JSON, for `/v1/folio/route`."""
        return {
            "intent": self.intent,
            "source": self.source,
            "matched": self.matched or None,
            "classifier": self.opinion._asdict() if self.opinion else None,
            "data_classes": list(self.data_classes),
            "ladder": [rung.model_dump(mode="json", exclude_defaults=True) for rung in self.ladder],
            "skipped": [{"model": s.model, "reason": s.reason, "message": s.message} for s in self.skipped],
            "on_exhausted": self.on_exhausted,
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody may answer, or nobody can."""

    reason: RefusalReason
    message: str
    skipped: tuple[Skip, ...] = ()
    data_classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consult:
    """The policy's classifier runs elsewhere: ask it, then call `route` again with its opinion.

    MiniLM: embed `text` (by `model`, or in the gateway when None) and let a VectorClassifier judge the
    vector. Model: ask `model` to classify `text`; `opinion_of_answer` reads its reply. No reply in time:
    `route(facts, NO_OPINION)`.
    """

    type: Literal["MiniLM", "Model"]
    model: str | None
    text: str
    data_classes: tuple[str, ...] = ()
    """For which the model is cleared."""


class Router:
    """A table, compiled for look-ups. One is made per table and replica; making one trains nothing."""

    def __init__(self, table: Table, classifier: IntentClassifier | None = None) -> None:
        self._table = table
        self._classifier = classifier
        """In-process: the policy's own for NGram, and what stands in when a model may not see the text."""
        self._models = {model.name: model for model in table.models}
        self._intents = {intent.name: intent for intent in table.intents}
        ruled = (intent for intent in table.intents if intent.headers or intent.keywords or intent.inputs)
        self._ranked = sorted(ruled, key=lambda intent: (-intent.priority, intent.name))
        self._clearances = Clearances.of(table)
        self._keywords = KeywordMatcher(keyword for intent in table.intents for keyword in intent.keywords)
        self._learnable = any(intent.examples for intent in table.intents)

    def route(self, facts: Facts, opinion: Opinion | None = None) -> Route | Refused | Consult:
        """Return who may answer. `opinion` is the reply to an earlier Consult; without one, Consult is
        possible.
        """
        if facts.task in _NOT_SUPPORTED:
            return Refused("NotSupported", f"{facts.task} is not supported by this version")
        request = self._request(facts)
        if facts.asked in self._models:
            return self._direct(request)
        if facts.asked != PORTFOLIO_MODEL:
            return self._asked_intent(request)
        if facts.task in _ONE_MODEL_TASKS:
            return self._one_model(request)
        return self._ruled(request) or self._learned(request, opinion)

    def _request(self, facts: Facts) -> _Request:
        classes = self._clearances.classes_of(facts.headers, facts.texts, readable=facts.readable)
        fit = Fit(facts.task, facts.inputs, facts.features, facts.prompt_tokens, facts.max_tokens)
        return _Request(facts, classes, fit)

    def _direct(self, request: _Request) -> Route | Refused:
        choice = _Choice(None, "direct", request.facts.asked)
        return self._finish(request, choice, (Rung(model=request.facts.asked),))

    def _asked_intent(self, request: _Request) -> Route | Refused:
        asked = request.facts.asked
        name = asked.removeprefix(f"{PORTFOLIO_MODEL}/")
        intent = self._intents.get(name) if name != asked else None
        if intent is None:
            return Refused(
                "UnknownModel", f"model {asked} does not exist; there are: {', '.join(self.names())}"
            )
        return self._by_intent(request, _Choice(intent, "direct", asked))

    def names(self) -> tuple[str, ...]:
        """Return every name that a request may ask for."""
        intents = (f"{PORTFOLIO_MODEL}/{intent.name}" for intent in self._table.intents)
        return (PORTFOLIO_MODEL, *intents, *self._models)

    def _one_model(self, request: _Request) -> Route | Refused:
        """Vectors of two models in one index corrupt it, so the text never decides here: headers, or the
        only model.
        """
        choice = self._matched_header(request.facts)
        if choice is not None:
            return self._by_intent(request, choice)
        able = [model.name for model in self._table.models if request.facts.task in model.tasks]
        if len(able) != 1:
            listed = f"one of: {', '.join(able)}" if able else "there is none in this portfolio"
            return Refused("ModelRequired", f"{request.facts.task} needs a model by name; {listed}")
        return self._finish(request, _Choice(None, "default", able[0]), (Rung(model=able[0]),))

    def _ruled(self, request: _Request) -> Route | Refused | None:
        choice = self._rule(request.facts)
        return self._by_intent(request, choice) if choice else None

    def _rule(self, facts: Facts) -> _Choice | None:
        """Return the intent of highest priority that a header, keyword or input matched."""
        if not self._ranked:
            return None
        keywords = self._keywords.found(facts.text)
        return next((c for intent in self._ranked if (c := _match(intent, facts, keywords))), None)

    def _matched_header(self, facts: Facts) -> _Choice | None:
        return next((c for intent in self._ranked if (c := _match_header(intent, facts))), None)

    def _learned(self, request: _Request, opinion: Opinion | None) -> Route | Refused | Consult:
        if not self._learnable or not request.facts.text:
            return self._default(request, None)
        if opinion is None:
            consult = self._consult(request)
            if consult is not None:
                return consult
            opinion = self._classifier.classify(request.facts.text) if self._classifier else NO_OPINION
        intent = self._intents.get(opinion.label) if opinion.label is not None else None
        if intent is None:
            return self._default(request, opinion)
        route = self._by_intent(request, _Choice(intent, "classifier", "", opinion))
        # A guess must not turn a request away that the default ladder can answer.
        return self._default(request, opinion) if isinstance(route, Refused) else route

    def _consult(self, request: _Request) -> Consult | None:
        """Return which outside classifier to ask; None for NGram, or when the model may not see this
        request.
        """
        classifier = self._table.classifier
        if classifier.type == "NGram":
            return None
        model = self._models.get(classifier.model) if classifier.model else None
        if classifier.model and (model is None or self._clearances.obstacle(model, request.classes)):
            return None
        data_classes = tuple(one.name for one in request.classes)
        return Consult(classifier.type, classifier.model, request.facts.text, data_classes)

    def _default(self, request: _Request, opinion: Opinion | None) -> Route | Refused:
        return self._finish(request, _Choice(None, "default", "", opinion), self._table.default_ladder)

    def _by_intent(self, request: _Request, choice: _Choice) -> Route | Refused:
        assert choice.intent is not None
        one_only = request.facts.task in _ONE_MODEL_TASKS and not choice.intent.interchangeable
        return self._finish(request, choice, choice.intent.ladder[:1] if one_only else choice.intent.ladder)

    def _finish(self, request: _Request, choice: _Choice, ladder: tuple[Rung, ...]) -> Route | Refused:
        admission = Admission(self._models, self._clearances, request.classes, request.fit)
        rungs, skipped = admission.of(ladder, by_name=choice.intent is None and choice.source == "direct")
        data_classes = tuple(one.name for one in request.classes)
        if not rungs:
            return _refusal(skipped, data_classes)
        rungs, passed = _from_issuer(rungs, request.facts.tool_issuer)
        intent = choice.intent
        return Route(
            intent=intent.name if intent else None,
            source=choice.source,
            ladder=rungs,
            on_exhausted=intent.on_exhausted if intent else self._table.on_exhausted,
            skipped=skipped + passed,
            data_classes=data_classes,
            matched=choice.matched,
            opinion=choice.opinion,
        )


@dataclass(frozen=True, slots=True)
class _Request:
    facts: Facts
    classes: tuple[DataClass, ...]
    fit: Fit


@dataclass(frozen=True, slots=True)
class _Choice:
    """How a ladder was chosen; no intent: the default ladder or one model."""

    intent: Intent | None
    source: Source
    matched: str
    opinion: Opinion | None = None


def _match(intent: Intent, facts: Facts, keywords: frozenset[str]) -> _Choice | None:
    if choice := _match_header(intent, facts):
        return choice
    if keyword := next((one for one in intent.keywords if one.casefold() in keywords), None):
        return _Choice(intent, "keyword", keyword)
    if carried := next((one for one in intent.inputs if one in facts.inputs), None):
        return _Choice(intent, "input", carried)
    return None


def _match_header(intent: Intent, facts: Facts) -> _Choice | None:
    match = next((one for one in intent.headers if facts.headers.get(one.name) == one.value), None)
    return _Choice(intent, "header", f"{match.name}: {match.value}") if match else None


def _from_issuer(rungs: tuple[Rung, ...], issuer: str | None) -> tuple[tuple[Rung, ...], tuple[Skip, ...]]:
    """Return the ladder from the rung on that issued the tool call: only that model knows why it called."""
    start = next((index for index, rung in enumerate(rungs) if rung.model == issuer), 0)
    passed = tuple(Skip(rung.model, "ToolResult", f"{issuer} issued the tool call") for rung in rungs[:start])
    return rungs[start:], passed


def _refusal(skipped: tuple[Skip, ...], data_classes: tuple[str, ...]) -> Refused:
    uncleared = any(skip.reason == "NotCleared" for skip in skipped)
    listed = "; ".join(skip.message for skip in skipped)
    return Refused(
        "NotCleared" if uncleared else "Unsupported",
        f"no model of the ladder may answer: {listed}"
        if uncleared
        else f"no model of the ladder can: {listed}",
        skipped,
        data_classes,
    )
