"""The nouns of a cascade: what it asks for (Ask, Together, Commit), what it is told, and its Verdict.

Times named `now` come from one monotonic clock, the caller's. Bodies are opaque here: `payload` is never
looked into.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Self

from folio_api.table import Model, OnExhausted, Rung, Table
from folio_serving.calibration import NO_CALIBRATION, Calibration
from folio_serving.confidence import Decoding, Signals
from folio_serving.context import Draft, Passage
from folio_serving.route import Facts, Route

Reason = Literal[
    "",  # accepted
    "Waking",
    "QueueFull",
    "TooLong",
    "Timeout",
    "NotCleared",
    "NotConfident",
    "OverBudget",
    "Unavailable",
    "UpstreamError",
    "BadRequest",
    "Deadline",
    "ClientLeft",
]
Role = Literal["rung", "sample", "peer", "classifier"]


@dataclass(frozen=True, slots=True)
class Question:
    """Everything a cascade decides on, besides the answers."""

    ladder: tuple[Rung, ...]
    models: Mapping[str, Model]
    started: float
    """The clock when the request came in."""
    routed: float = -math.inf
    """The clock when it was known who may answer: a classifier may have taken a while."""
    deadline_seconds: float = 60.0
    max_cost_usd: float | None = None
    on_exhausted: OnExhausted = "ReturnBest"
    accept_uncalibrated: bool = False
    intent: str = ""
    """Empty: the default ladder."""
    prompt_tokens: int = 0
    """An estimate, see cost.py; of several prompts the longest."""
    further_prompt_tokens: int = 0
    """Of the other prompts: they count where it is about cost."""
    max_tokens: int | None = None
    choices: int = 1
    decoding: Decoding = "sampled"
    response_format: Mapping[str, Any] | None = None
    """As the client wrote it: JsonSchema checks answers against it."""
    stream: bool = False
    commit_after_tokens: int = 32
    expected_seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Busy seconds that a request lately took, by model: prices replica time before it is spent."""
    calibration: Calibration = NO_CALIBRATION
    paid: tuple[Attempt, ...] = ()
    """What routing has asked before: a classifier that is a model. It counts as the rungs do."""

    @classmethod
    def of(cls, table: Table, route: Route, facts: Facts, *, started: float, **others: Any) -> Self:
        """Return the question that a routed request asks; `others` are this class's remaining fields."""
        return cls(
            ladder=route.ladder,
            models={model.name: model for model in table.models},
            started=started,
            deadline_seconds=table.limits.deadline_seconds,
            max_cost_usd=table.limits.max_cost_per_query_usd,
            on_exhausted=route.on_exhausted,
            accept_uncalibrated=table.uncalibrated == "Accept",
            intent=route.intent or "",
            prompt_tokens=facts.prompt_tokens,
            further_prompt_tokens=facts.further_prompt_tokens,
            max_tokens=facts.max_tokens,
            commit_after_tokens=table.streaming.commit_after_tokens,
            **others,
        )


@dataclass(frozen=True, slots=True)
class Passthrough:
    """Stream as it comes: whatever this rung says will be the answer."""


@dataclass(frozen=True, slots=True)
class PrefixCommit:
    """Hold the first tokens back, report them as a Prefix, and wait for Commit or for something else."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Buffered:
    """Hold everything back: only the whole answer can be judged."""


Delivery = Passthrough | PrefixCommit | Buffered


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask one model once. The reply is an Answer or a Failed; under PrefixCommit also a Prefix."""

    rung: int
    """Index into the question's ladder."""
    model: str
    signals: Literal["usage", "logprobs"]
    """What the replica shall report."""
    timeout_seconds: float
    delivery: Delivery
    """Of no meaning unless the client streams."""
    role: Role = "rung"
    sample: int = 0
    """From 1 on: another sample for Agreement; `agreement.resampled` changes the body for it."""
    drafts: tuple[Draft, ...] = ()
    passages: tuple[Passage, ...] = ()
    """Both are put into the body by `context.with_context`."""
    needs_text: bool = False
    """The reply's `texts` (and passages) will be read; where False they may stay unparsed."""
    again: bool = False
    """The one model that is asked a second time: its prefix was refused, and all that came after failed."""


@dataclass(frozen=True, slots=True)
class Together:
    """Ask these at the same time. The reply is a tuple with one Answer or Failed each, in this order."""

    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """The prefix was good enough: let the stream through, then reply with the whole Answer or a Failed."""


Step = Ask | Together | Commit


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    signals: Signals
    now: float
    texts: tuple[str, ...] = ()
    """One a choice: its content, or its tool calls as canonical JSON when it made some."""
    passages: tuple[Passage, ...] = ()
    payload: Any = None
    """The driver's own: response, buffered stream, whatever it needs to deliver this answer."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first tokens of a stream that is still running; a stream that ended before is an Answer."""

    signals: Signals
    now: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, and why."""

    reason: Reason
    message: str
    now: float
    signals: Signals | None = None
    """What it used up all the same, as far as known; None: nothing was under way."""
    committed: bool = False
    """The client has seen bytes of it: nothing can stand in any more."""
    payload: Any = None
    """The driver's own: the upstream's error body for BadRequest."""


Reply = Answer | Prefix | Failed | tuple[Answer | Failed, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a query's account: a model that was asked, or a rung that was passed over, and what came
    of it.
    """

    rung: int | None
    """None for a classifier, which stands on no ladder."""
    model: str
    reason: Reason
    """Empty: this is the answer."""
    message: str = ""
    role: Role = "rung"
    asked: bool = True
    signal: str = ""
    confidence: float | None = None
    """Calibrated where the artifact has a map, else the raw signal."""
    signals: Signals | None = None
    usd: float = 0.0
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a cascade ended.

    `answer` set, `reason` empty: accepted. `answer` set, `reason` set: the best draft, and why nothing
    better. `answer` None, `refused`: drafts there were, none good enough (a 200 with `message.refusal`, at
    the deadline a 504). `answer` None otherwise: nobody answered; `failure` is the telling one. `model` of a
    failure that was committed, or of a client that left: whose answer it would have been.
    """

    answer: Answer | None
    reason: Reason
    attempts: tuple[Attempt, ...]
    rung: int | None = None
    model: str | None = None
    confidence: float | None = None
    refused: bool = False
    failure: Failed | None = None

    @property
    def usd(self) -> float:
        return sum(attempt.usd for attempt in self.attempts)
