"""Asks a ladder's models one after another until an answer is good enough, as a pure generator.

It yields what to ask, is sent what came back and returns its Verdict; `drive.py` alone does what it says.

conversation = cascade(question) step = next(conversation)                 # an Ask, Together or Commit step
= conversation.send(Answer(...))     # or Prefix, Failed, a tuple for Together; at the end
StopIteration.value
"""

from __future__ import annotations

from collections.abc import Generator

from folio_serving.accept import Judgement, judge, judge_prefix
from folio_serving.agreement import most_agreed
from folio_serving.conversation import (
    Answer,
    Ask,
    Attempt,
    Commit,
    Failed,
    Passthrough,
    Prefix,
    PrefixCommit,
    Question,
    Reply,
    Step,
    Together,
    Verdict,
)
from folio_serving.course import Course

Conversation = Generator[Step, Reply, Verdict]
_Climb = Generator[Step, Reply, Verdict | None]


def cascade(question: Question) -> Conversation:
    """Play one query: every rung at most once, none past the deadline or the cost limit."""
    course = Course(question)
    for index in range(len(question.ladder)):
        if course.out_of_time:
            break
        verdict = yield from _rung(course, index)
        if verdict is not None:
            return verdict
    verdict = yield from _stand_in(course)
    return verdict if verdict is not None else course.exhausted()


def _rung(course: Course, index: int) -> _Climb:
    """Ask one rung, with its peers or samples; None hands on to the next."""
    asks = course.asks_of(index)
    if isinstance(asks, Attempt):
        course.note(asks)
        return None
    if len(asks) > 1:
        return _agreed(course, asks, (yield Together(asks)))
    return (yield from _one(course, asks[0]))


def _one(course: Course, ask: Ask) -> _Climb:
    reply = yield ask
    if isinstance(reply, Prefix):
        judgement = judge_prefix(course.question, course.rung(ask), reply.signals, _prefix_tokens(ask))
        if not judgement.accepted:
            course.refuse_prefix(ask, reply, judgement)
            return None
        return _committed(course, ask, (yield Commit()))
    return _concluded(course, ask, reply)


def _stand_in(course: Course) -> _Climb:
    """Ask a model again whose first tokens were refused, when nobody else has anything to return.

    Its stream was cancelled, so there is no draft of it; an answer that was not sure enough beats none.
    """
    ask = course.second_chance()
    return _concluded(course, ask, (yield ask)) if ask is not None else None


def _concluded(course: Course, ask: Ask, reply: Reply) -> Verdict | None:
    """Judge a reply that the client has seen nothing of, unless it was passed through."""
    if isinstance(reply, Failed):
        return course.fail(ask, reply)
    assert isinstance(reply, Answer)
    judgement = judge(course.question, course.rung(ask), reply)
    if judgement.accepted or isinstance(ask.delivery, Passthrough) or ask.again:
        return course.settle(ask, reply, judgement)
    course.keep_draft(ask, reply, judgement)
    return None


def _committed(course: Course, ask: Ask, reply: Reply) -> Verdict | None:
    """The client reads it already: how the rest turned out is told, and changes nothing."""
    if isinstance(reply, Failed):
        return course.fail(ask, reply)
    assert isinstance(reply, Answer)
    judgement = judge(course.question, course.rung(ask), reply)
    return course.settle(ask, reply, Judgement(accepted=True, confidence=judgement.confidence))


def _agreed(course: Course, asks: tuple[Ask, ...], replies: Reply) -> Verdict | None:
    """Judge answers that were asked for at the same time; only this rung's own model may give the answer."""
    assert isinstance(replies, tuple)
    pairs = list(zip(asks, replies, strict=True))
    own = [(ask, reply) for ask, reply in pairs if ask.role != "peer" and isinstance(reply, Answer)]
    peers = [reply for ask, reply in pairs if ask.role == "peer" and isinstance(reply, Answer)]
    if not own or (isinstance(replies[0], Failed) and replies[0].reason == "ClientLeft"):
        course.note_helpers(pairs, speaking=asks[0])
        assert isinstance(replies[0], Failed)
        return course.fail(asks[0], replies[0])
    ask, answer = own[most_agreed([reply.texts for _, reply in own])]
    course.note_helpers(pairs, speaking=ask)
    others = [reply for _, reply in own if reply is not answer] + peers
    judgement = judge(course.question, course.rung(ask), answer, others)
    if judgement.accepted:
        return course.settle(ask, answer, judgement)
    course.keep_draft(ask, answer, judgement)
    return None


def _prefix_tokens(ask: Ask) -> int:
    assert isinstance(ask.delivery, PrefixCommit)
    return ask.delivery.tokens
