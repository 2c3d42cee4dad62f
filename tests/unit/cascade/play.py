"""Plays a cascade by hand: a short ladder, and what its models say."""

from collections.abc import Mapping
from typing import Any

from folio_api.table import Accept, Context, Model, Price, Rung
from folio_serving.cascade import cascade
from folio_serving.confidence import Signals
from folio_serving.conversation import Answer, Failed, Question, Reply, Step, Verdict


def model(name: str, **fields: Any) -> Model:
    return Model(**{"name": name, "engine": "vllm", "identity": f"id-{name}", **fields})


def rung(name: str, signal: str = "Always", at_least: float | None = None, **fields: Any) -> Rung:
    accept = {key: fields.pop(key) for key in ("target", "samples", "models") if key in fields}
    return Rung(model=name, accept=Accept(signal=signal, at_least=at_least, **accept), **fields)


SMALL, LARGE = rung("small", "MeanLogprob", 0.6), rung("large")


def question(*ladder: Rung, models: Mapping[str, Model] | None = None, **fields: Any) -> Question:
    names = {name for one in ladder for name in (one.model, *one.accept.models)}
    known = {name: model(name) for name in names} | dict(models or {})
    return Question(ladder=ladder, models=known, started=fields.pop("started", 100.0), **fields)


def answer(mean: float | None = None, now: float = 101.0, text: str = "yes", **signals: Any) -> Answer:
    return Answer(Signals(mean=mean, **signals), now, texts=(text,), payload=text)


def failed(reason: Any = "Unavailable", now: float = 101.0, **fields: Any) -> Failed:
    return Failed(reason, f"it was {reason}", now, **fields)


def play(asked: Question, *replies: Reply) -> tuple[list[Step], Verdict]:
    """Send the replies in turn; the cascade must end exactly with the last."""
    conversation = cascade(asked)
    steps: list[Step] = []
    try:
        steps.append(next(conversation))
        for reply in replies:
            steps.append(conversation.send(reply))  # noqa: PERF401 - StopIteration may not leave a generator
    except StopIteration as end:
        assert len(steps) == len(replies), "the cascade ended before all replies were sent"
        return steps, end.value
    raise AssertionError(f"the cascade goes on with {steps[-1]}")


def reasons(verdict: Verdict) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.reason) for attempt in verdict.attempts]


PRICED = Price(usd_per_million_input_tokens=1_000_000, usd_per_million_output_tokens=1_000_000)
"""A dollar a token."""

__all__ = ["Context"]
