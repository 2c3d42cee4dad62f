"""Whether an answer is good enough, by its rung's `accept`; and, before it is asked, how it may be
streamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from folio_api.table import Accept, Rung
from folio_serving.agreement import agreement
from folio_serving.calibration import Key
from folio_serving.confidence import Signals
from folio_serving.conversation import Answer, Buffered, Delivery, Passthrough, PrefixCommit, Question
from folio_serving.structured import fault

LOGPROB_SIGNALS = frozenset({"MeanLogprob", "MinLogprob"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """Good enough or not, how sure, and in words why not."""

    accepted: bool
    confidence: float | None = None
    """Calibrated where the artifact has a map for it, else the raw signal."""
    message: str = ""


def judge(question: Question, rung: Rung, answer: Answer, others: Sequence[Answer] = ()) -> Judgement:
    """Judge a whole answer; `others` are what Agreement compares it with."""
    raw, why = _raw(question, rung, answer, others)
    key = _key(question, rung, rung.accept.signal, answer.signals)
    judgement = _compared(question, rung.accept, key, raw, why=why)
    if answer.signals.cut_short:
        return Judgement(False, judgement.confidence, "cut off before the end of the answer")
    return judgement


def judge_prefix(question: Question, rung: Rung, signals: Signals, tokens: int) -> Judgement:
    """Judge the first tokens of a stream; a target needs a calibration of just these."""
    raw = _logprob_signal(rung.accept.signal, signals)
    key = _key(question, rung, prefix_signal(rung.accept.signal, tokens), signals)
    return _compared(question, rung.accept, key, raw)


def prefix_signal(signal: str, tokens: int) -> str:
    """Return the name under which calibrations know a signal of a stream's first tokens."""
    return f"{signal}@{tokens}"


def delivery(question: Question, rung: Rung, *, conclusive: bool) -> Delivery:
    """Return how a rung's stream may reach the client. `conclusive`: whatever it says, it will be
    returned.
    """
    accept = rung.accept
    if not question.stream:
        return Buffered()
    if conclusive or accept.signal == "Always":
        return Passthrough()
    if accept.signal not in LOGPROB_SIGNALS or question.choices > 1:
        return Buffered()
    tokens = question.commit_after_tokens
    if accept.target is not None:
        key = _key(question, rung, prefix_signal(accept.signal, tokens), None)
        if question.calibration.threshold(key, accept.target) is None:
            return Buffered()
    return PrefixCommit(tokens)


def _compared(question: Question, accept: Accept, key: Key, raw: float | None, *, why: str = "") -> Judgement:
    if accept.signal == "Always":
        return Judgement(True, raw)
    if raw is None:
        return Judgement(False, None, why or f"no {accept.signal} came with the answer")
    threshold = _threshold(question, accept, key)
    calibrated = question.calibration.probability(key, raw)
    confidence = raw if calibrated is None else calibrated
    if threshold is None:
        return Judgement(
            question.accept_uncalibrated, confidence, f"no threshold is certified for {key.decoding}"
        )
    if raw >= threshold:
        return Judgement(True, confidence)
    return Judgement(False, confidence, why or f"{accept.signal} {raw:.3f} is below {threshold:.3f}")


def _threshold(question: Question, accept: Accept, key: Key) -> float | None:
    if accept.signal == "JsonSchema":
        return 1.0
    if accept.at_least is not None:
        return accept.at_least
    return question.calibration.threshold(key, accept.target) if accept.target is not None else None


def _key(question: Question, rung: Rung, signal: str, signals: Signals | None) -> Key:
    decoding = (signals.decoding if signals else None) or question.decoding
    identity = (signals.identity if signals else None) or question.models[rung.model].identity
    return Key(identity, question.intent, signal, decoding)


def _raw(
    question: Question, rung: Rung, answer: Answer, others: Sequence[Answer]
) -> tuple[float | None, str]:
    match rung.accept.signal:
        case "Score":
            return answer.signals.score, ""
        case "JsonSchema":
            return _kept_to_format(question, answer)
        case "Agreement":
            return agreement([one.texts for one in (answer, *others)]), ""
        case "Always":
            return None, ""
        case signal:
            return _logprob_signal(signal, answer.signals), ""


def _kept_to_format(question: Question, answer: Answer) -> tuple[float, str]:
    # A tool call answers the client in the tool's own schema, not in response_format's.
    if answer.signals.finish == "tool_calls":
        return 1.0, ""
    faults = [found for text in answer.texts if (found := fault(text, question.response_format))]
    if not answer.texts:
        return 0.0, "an empty answer"
    return (0.0, faults[0]) if faults else (1.0, "")


def _logprob_signal(signal: str, signals: Signals) -> float | None:
    return signals.mean if signal == "MeanLogprob" else signals.min
