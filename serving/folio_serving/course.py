"""How far one cascade has come: clock, money, drafts, and the account of every attempt. Mutable, one a
query.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from folio_api.table import Rung
from folio_serving.accept import LOGPROB_SIGNALS, Judgement, delivery
from folio_serving.confidence import Signals
from folio_serving.context import Draft, Passage, context_tokens
from folio_serving.conversation import (
    Answer,
    Ask,
    Attempt,
    Delivery,
    Failed,
    Passthrough,
    Prefix,
    Question,
    Reason,
    Verdict,
)
from folio_serving.cost import cut_off, spent
from folio_serving.estimate import usd_of

_TRANSIENT: frozenset[Reason] = frozenset({"Waking", "QueueFull", "Timeout", "Unavailable", "UpstreamError"})
"""Reasons that another try may overcome: they tell more than a rung that was passed over."""
_FINAL: frozenset[Reason] = frozenset({"BadRequest", "ClientLeft"})
_CUT_OFF: frozenset[Reason] = frozenset({"Timeout", "ClientLeft"})
_TEXT_SIGNALS = frozenset({"Agreement", "JsonSchema"})


@dataclass(frozen=True, slots=True)
class _Kept:
    """A refused answer, to be returned when nothing better comes."""

    ask: Ask
    answer: Answer
    judgement: Judgement

    @property
    def rank(self) -> tuple[bool, float, int]:
        confidence = self.judgement.confidence
        # Of equals the later one: ladders rise.
        return (not self.answer.signals.cut_short, -1.0 if confidence is None else confidence, self.ask.rung)


@dataclass(slots=True)
class Course:
    """One query under way."""

    question: Question
    _now: float = -math.inf
    _attempts: list[Attempt] = field(default_factory=list)
    _drafts: list[_Kept] = field(default_factory=list)
    _prefixes: list[tuple[float, Ask]] = field(default_factory=list)
    _failure: Failed | None = None
    _asked_at: float = 0.0

    def __post_init__(self) -> None:
        self._attempts.extend(self.question.paid)
        self._see(max(self.question.started, self.question.routed))
        self._asked_at = self._now

    @property
    def seconds_left(self) -> float:
        return self.question.started + self.question.deadline_seconds - self._now

    @property
    def out_of_time(self) -> bool:
        return self.seconds_left <= 0

    @property
    def usd(self) -> float:
        return math.fsum(attempt.usd for attempt in self._attempts)

    def rung(self, ask: Ask) -> Rung:
        return self.question.ladder[ask.rung]

    def asks_of(self, index: int) -> tuple[Ask, ...] | Attempt:
        """Return what to ask for a rung, its own model first; or why nothing is."""
        rung = self.question.ladder[index]
        drafts, passages = self._context(rung)
        ask = Ask(
            rung=index,
            model=rung.model,
            signals="logprobs" if rung.accept.signal in LOGPROB_SIGNALS else "usage",
            timeout_seconds=min(rung.timeout_seconds or math.inf, self.seconds_left),
            delivery=self._delivery(index),
            drafts=drafts,
            passages=passages,
            needs_text=self._needs_text(index),
        )
        asks = (ask, *self._helpers(rung, ask))
        if (message := self._over_budget(asks)) is not None:
            return Attempt(index, rung.model, "OverBudget", message, asked=False)
        self._asked_at = self._now
        return asks

    def second_chance(self) -> Ask | None:
        """Return the most promising refused prefix as a last Ask; None when there is something to return."""
        wanted = self.question.on_exhausted == "ReturnBest" and not self._drafts and not self.out_of_time
        if not wanted or not self._prefixes:
            return None
        _, ask = max(self._prefixes, key=lambda prefix: prefix[0])
        again = replace(
            ask,
            again=True,
            delivery=Passthrough(),
            timeout_seconds=min(self.rung(ask).timeout_seconds or math.inf, self.seconds_left),
        )
        if self._over_budget((again,)) is not None:
            return None
        self._asked_at = self._now
        return again

    def note(self, attempt: Attempt) -> None:
        self._attempts.append(attempt)

    def note_helpers(self, pairs: Iterable[tuple[Ask, Answer | Failed]], *, speaking: Ask) -> None:
        """Account for what was asked beside the reply that speaks for the rung."""
        for ask, reply in pairs:
            if ask is speaking:
                continue
            failed = reply if isinstance(reply, Failed) else None
            reason, message = (failed.reason, failed.message) if failed else ("", "")
            self._account(ask, reply, reason, message)

    def fail(self, ask: Ask, failed: Failed) -> Verdict | None:
        """Hand on, unless the request itself is at fault, or the client has seen a part or has left."""
        self._account(ask, failed, failed.reason, failed.message)
        if self._failure is None or failed.reason in _TRANSIENT or self._failure.reason not in _TRANSIENT:
            self._failure = failed
        if failed.committed or failed.reason in _FINAL:
            return self._verdict(None, failed.reason, ask, failure=failed)
        return None

    def keep_draft(self, ask: Ask, answer: Answer, judgement: Judgement) -> None:
        self._account(ask, answer, "NotConfident", judgement.message, judgement)
        self._drafts.append(_Kept(ask, answer, judgement))

    def refuse_prefix(self, ask: Ask, prefix: Prefix, judgement: Judgement) -> None:
        self._account(ask, prefix, "NotConfident", judgement.message, judgement)
        self._prefixes.append((judgement.confidence or 0.0, ask))

    def settle(self, ask: Ask, answer: Answer, judgement: Judgement) -> Verdict:
        reason: Reason = "" if judgement.accepted else "NotConfident"
        self._account(ask, answer, reason, judgement.message if reason else "", judgement)
        return self._verdict(answer, reason, ask, judgement.confidence)

    def exhausted(self) -> Verdict:
        """Return what `onExhausted` says of a ladder that is at its end, of time or of money."""
        reason = self._why_exhausted()
        if not self._drafts:
            refused = bool(self._prefixes) and self.question.on_exhausted == "Refuse"
            return self._verdict(None, reason, None, failure=self._failure, refused=refused)
        if self.question.on_exhausted == "Refuse":
            return self._verdict(None, reason, None, failure=self._failure, refused=True)
        best = max(self._drafts, key=lambda kept: kept.rank)
        return self._verdict(best.answer, reason, best.ask, best.judgement.confidence)

    def _why_exhausted(self) -> Reason:
        if self.out_of_time:
            return "Deadline"
        reasons = [attempt.reason for attempt in self._attempts if attempt.role == "rung" and attempt.reason]
        if self._drafts or (self._prefixes and self.question.on_exhausted == "Refuse"):
            return "OverBudget" if reasons[-1] == "OverBudget" else "NotConfident"
        if self._failure is not None:
            return self._failure.reason
        return reasons[-1] if reasons else "Unavailable"

    def _verdict(
        self,
        answer: Answer | None,
        reason: Reason,
        ask: Ask | None,
        confidence: float | None = None,
        *,
        failure: Failed | None = None,
        refused: bool = False,
    ) -> Verdict:
        return Verdict(
            answer=answer,
            reason=reason,
            attempts=tuple(self._attempts),
            rung=ask.rung if ask else None,
            model=ask.model if ask else None,
            confidence=confidence,
            refused=refused,
            failure=failure,
        )

    def _account(
        self,
        ask: Ask,
        reply: Answer | Prefix | Failed,
        reason: Reason,
        message: str,
        judgement: Judgement | None = None,
    ) -> None:
        self._see(reply.now)
        rung = self.rung(ask)
        elapsed = max(0.0, reply.now - self._asked_at)
        signals = self._used(reply, elapsed)
        self._attempts.append(
            Attempt(
                rung=ask.rung,
                model=ask.model,
                reason=reason,
                message=message,
                role=ask.role,
                signal=rung.accept.signal,
                confidence=judgement.confidence if judgement else None,
                signals=signals,
                usd=spent(self.question.models[ask.model].price, signals).usd,
                elapsed_seconds=elapsed,
            )
        )

    def _used(self, reply: Answer | Prefix | Failed, elapsed: float) -> Signals | None:
        """Return what a reply used up, by its own report where it was complete."""
        unfinished = isinstance(reply, Prefix) or (
            isinstance(reply, Failed) and (reply.signals is not None or reply.reason in _CUT_OFF)
        )
        prompt = self.question.prompt_tokens + self.question.further_prompt_tokens
        return cut_off(reply.signals, prompt, elapsed) if unfinished else reply.signals

    def _see(self, now: float) -> None:
        """Never let the clock go back, whatever order replies come in."""
        self._now = max(self._now, now)

    def _delivery(self, index: int) -> Delivery:
        last = index == len(self.question.ladder) - 1
        conclusive = last and self.question.on_exhausted == "ReturnBest" and not self._drafts
        return delivery(self.question, self.question.ladder[index], conclusive=conclusive)

    def _needs_text(self, index: int) -> bool:
        later = self.question.ladder[index + 1 :]
        shown = any(rung.context.drafts or rung.context.passages for rung in later)
        return shown or self.question.ladder[index].accept.signal in _TEXT_SIGNALS

    def _helpers(self, rung: Rung, ask: Ask) -> tuple[Ask, ...]:
        """Return what Agreement asks beside the rung's own model: more samples of it, or its peers."""
        if rung.accept.signal != "Agreement":
            return ()
        samples = range(1, rung.accept.samples or 1)
        return (
            *(replace(ask, role="sample", sample=sample) for sample in samples),
            *(replace(ask, role="peer", model=peer) for peer in rung.accept.models if peer != rung.model),
        )

    def _context(self, rung: Rung) -> tuple[tuple[Draft, ...], tuple[Passage, ...]]:
        """Return what the rung is shown: nothing unless written, and never so much that the request is too
        long.
        """
        wanted = rung.context
        if not (wanted.drafts or wanted.passages):
            return (), ()
        texts = [
            Draft(kept.ask.model, kept.answer.texts[0]) for kept in self._drafts if any(kept.answer.texts[:1])
        ]
        found = [passage for kept in self._drafts for passage in kept.answer.passages]
        drafts = tuple(texts[-wanted.drafts :]) if wanted.drafts else ()
        passages = tuple(sorted(found, key=lambda passage: -passage.score)[: wanted.passages])
        for offer in ((drafts, passages), ((), passages)):
            if any(offer) and self._fits(rung, *offer):
                return offer
        return (), ()

    def _fits(self, rung: Rung, drafts: tuple[Draft, ...], passages: tuple[Passage, ...]) -> bool:
        room = self.question.models[rung.model].context_tokens
        needed = (
            self.question.prompt_tokens + context_tokens(drafts, passages) + (self.question.max_tokens or 1)
        )
        return room is None or needed <= room

    def _over_budget(self, asks: tuple[Ask, ...]) -> str | None:
        limit = self.question.max_cost_usd
        if limit is None:
            return None
        expected = self.usd + math.fsum(usd_of(self.question, ask) for ask in asks)
        return None if expected <= limit else f"would cost about {expected:.6f} USD of {limit:.6f} USD"
