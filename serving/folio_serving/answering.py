"""From a well-formed request to its answer: route it, play its cascade, deliver, and book what it cost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import orjson

from folio_serving.asking import ErrorReply, Stream, Whole
from folio_serving.cascade import cascade
from folio_serving.confidence import decoding_class
from folio_serving.consulting import Consultation
from folio_serving.conversation import Attempt, Question, Verdict
from folio_serving.delivery import (
    ROUTE_TROUBLES,
    error_of,
    last_events,
    refusal_body,
    refused_in_time,
    trouble_of,
    whole_as_events,
)
from folio_serving.drive import Drive, marked_answer
from folio_serving.errors import Trouble
from folio_serving.fleet import Fleet
from folio_serving.leases import Leases
from folio_serving.ledger import Account, Ledger, Occasion
from folio_serving.openai import Query
from folio_serving.outlet import Header, Outlet, Send, rung_headers
from folio_serving.policy import Policy
from folio_serving.purse import Purse
from folio_serving.route import Consult, Refused, Route

_JSON: Header = (b"content-type", b"application/json")
CLIENT_LEFT_STATUS = 499
"""In metrics and log only: nobody is there to be told. nginx's number for it."""
_NEW_SHARE = 0.2
"""Weight of the newest request in the busy seconds that a model lately took."""


@dataclass(frozen=True, slots=True)
class Request:
    """A query and the table that answers it; an edit meanwhile changes nothing for it."""

    path: str
    query: Query
    policy: Policy
    request_id: str
    started: float
    tenant: str = ""
    by_name: bool = False
    """Whether the client chose the table."""

    def headers(self, intent: str) -> tuple[Header, ...]:
        return (
            (b"x-folio-revision", self.policy.revision),
            (b"x-folio-request-id", self.request_id.encode()),
            (b"x-folio-intent", intent.encode()),
        )


class Answering:
    """Answers requests. Keeps nothing of one but how long its models took."""

    def __init__(self, fleet: Fleet, ledger: Ledger, leases: Leases) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._leases = leases
        self._seconds: dict[str, float] = {}
        self._classifier_seconds: dict[str, float] = {}

    def close(self) -> None:
        self._ledger.close()

    async def leave(self) -> None:
        """Give back what this replica holds of the budgets."""
        await self._leases.close()

    async def answer(self, request: Request, send: Send) -> None:
        """Answer one request, in full."""
        try:
            await self._answer(request, send)
        except Trouble as trouble:
            trouble.revision = request.policy.revision
            raise
        except Exception:
            if not request.by_name:
                self._ledger.trials.note_crash(request.policy.table.revision)
            raise

    async def _answer(self, request: Request, send: Send) -> None:
        route, paid = await self._route(request)
        query = request.query
        headers = request.headers(route.intent or "default")
        outlet = Outlet(send, headers) if query.stream else None
        question = self._question(request, route, paid)
        purse = self._purse(request, route, question)
        drive = Drive(query, request.policy.backends, self._fleet, request.request_id, outlet, purse=purse)
        verdict: Verdict | None = None
        try:
            if outlet is not None:
                outlet.beat(request.policy.table.streaming.heartbeat_after_seconds)
            verdict = await drive.run(cascade(question))
            account = Account.of(verdict, request.policy.models)
            if outlet is not None:
                status = await _deliver_stream(request, verdict, account, outlet, headers)
            else:
                status = await _deliver_whole(request, verdict, account, headers, send)
        except asyncio.CancelledError:
            stood = verdict or drive.left
            if stood is not None:
                self._book_left(request, stood, _occasion(request, route))
            raise
        finally:
            if outlet is not None:
                outlet.stop_beating()
            if purse is not None:
                purse.settle(verdict.attempts if verdict is not None else None)
        self._learn_seconds(verdict)
        self._ledger.book(account, _occasion(request, route), request.policy.models, status)

    async def route(self, request: Request) -> Route:
        """Return who would answer, without asking them; what a classifier's call cost is booked."""
        route, paid = await self._route(request)
        self._ledger.book_attempts(paid, request.policy.models)
        return route

    async def _route(self, request: Request) -> tuple[Route, tuple[Attempt, ...]]:
        """Return who may answer, and what finding it took; raises for nobody."""
        router, facts = request.policy.router, request.query.facts
        found = router.route(facts)
        paid: tuple[Attempt, ...] = ()
        if isinstance(found, Consult):
            asked = self._consultation(request, found)
            try:
                opinion = await request.policy.learned.consultant.opinion(asked)
            except asyncio.CancelledError:
                self._book_left_early(request, asked)
                raise
            found = router.route(facts, opinion)
            paid = tuple(asked.attempts)
        if isinstance(found, Refused):
            self._ledger.book_attempts(paid, request.policy.models)
            raise Trouble(
                ROUTE_TROUBLES[found.reason], found.message, None if found.data_classes else "model"
            )
        assert isinstance(found, Route), "with an opinion a router decides"
        return found, paid

    def _consultation(self, request: Request, consult: Consult) -> Consultation:
        limits = request.policy.table.limits
        return Consultation(
            consult,
            request.policy.backends,
            self._fleet,
            request.request_id,
            seconds_left=request.started + limits.deadline_seconds - time.monotonic(),
            usd_left=limits.max_cost_per_query_usd,
            expected_seconds=self._classifier_seconds,
        )

    def _question(self, request: Request, route: Route, paid: tuple[Attempt, ...]) -> Question:
        query, table = request.query, request.policy.table
        return Question.of(
            table,
            route,
            query.facts,
            started=request.started,
            routed=time.monotonic(),
            choices=query.choices,
            decoding=decoding_class(query.body),
            response_format=query.body.get("response_format"),
            stream=query.stream,
            expected_seconds=self._seconds,
            calibration=request.policy.learned.calibration,
            paid=paid,
        )

    def _purse(self, request: Request, route: Route, question: Question) -> Purse | None:
        """Return what the query may spend; None where no budget is over it, as for most portfolios."""
        budgets = request.policy.table.budgets
        if not budgets:
            return None
        subjects = {"Portfolio": "", "Tenant": request.tenant, "Intent": route.intent or "default"}
        return Purse(self._leases, [(budget, subjects[budget.scope]) for budget in budgets], question)

    def _book_left_early(self, request: Request, asked: Consultation) -> None:
        """Book what a classifier took for a client that left before it was known who may answer."""
        verdict = Verdict(None, "ClientLeft", tuple(asked.attempts))
        self._book_left(request, verdict, _occasion(request, asked.consult))

    def _book_left(self, request: Request, verdict: Verdict, occasion: Occasion) -> None:
        models = request.policy.models
        account = Account.of(replace(verdict, reason="ClientLeft"), models)
        self._ledger.book(account, occasion, models, CLIENT_LEFT_STATUS)

    def _learn_seconds(self, verdict: Verdict) -> None:
        for attempt in verdict.attempts:
            seconds = attempt.signals.seconds if attempt.signals is not None else None
            if seconds is not None:
                known = self._classifier_seconds if attempt.role == "classifier" else self._seconds
                before = known.get(attempt.model, seconds)
                known[attempt.model] = before + _NEW_SHARE * (seconds - before)


async def _deliver_whole(
    request: Request, verdict: Verdict, account: Account, headers: tuple[Header, ...], send: Send
) -> int:
    status, body, content_type = _whole(request, verdict)
    start = [
        *headers,
        *account.headers(),
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
    ]
    if status in {429, 503} and (after := trouble_of(verdict).retry_after_seconds) is not None:
        start.append((b"retry-after", str(after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return status


def _whole(request: Request, verdict: Verdict) -> tuple[int, bytes, bytes]:
    """Return status, body and content type of an answer that is sent as a whole."""
    if verdict.answer is not None:
        payload: Whole = verdict.answer.payload
        return 200, _with_marks(request.query, verdict, payload.body), payload.content_type
    if refused_in_time(verdict):
        body = refusal_body(request.query.kind, request.request_id, int(time.time()), verdict)
        return 200, body, b"application/json"
    if (said := _refused_by_model(verdict)) is not None:
        return said.status, said.body, b"application/json"
    trouble = trouble_of(verdict)
    return trouble.shape.status, trouble.body(), b"application/json"


def _refused_by_model(verdict: Verdict) -> ErrorReply | None:
    """Return the model's own words where it called the request itself wrong."""
    payload = verdict.failure.payload if verdict.failure is not None else None
    return payload if verdict.reason == "BadRequest" and isinstance(payload, ErrorReply) else None


def _with_marks(query: Query, verdict: Verdict, body: bytes) -> bytes:
    """Return the answer with its model in the ids of its tool calls."""
    if not query.body.get("tools") or b'"tool_calls"' not in body or verdict.model is None:
        return body
    return orjson.dumps(marked_answer(orjson.loads(body), verdict.model, "message"))


async def _deliver_stream(
    request: Request,
    verdict: Verdict,
    account: Account,
    outlet: Outlet,
    headers: tuple[Header, ...],
) -> int:
    outlet.stop_beating()
    if verdict.answer is None and not refused_in_time(verdict):
        if not outlet.begun:
            return await _deliver_whole(request, verdict, account, headers, outlet.send)
        said = _refused_by_model(verdict)
        await outlet.fail(said.body if said is not None else error_of(verdict.failure, verdict))
        return 200
    usage = await _events(request, verdict, outlet)
    query = request.query
    await outlet.end(last_events(query.kind, usage, wants_usage=query.wants_usage, account=account.summary()))
    return 200


async def _events(request: Request, verdict: Verdict, outlet: Outlet) -> dict[str, object] | None:
    """Send what the client has not seen of the answer; return its usage chunk."""
    payload = verdict.answer.payload if verdict.answer is not None else None
    headers = rung_headers(verdict.rung or 0, verdict.model) if verdict.model is not None else ()
    if isinstance(payload, Stream):
        if payload.held:
            await outlet.events(b"".join(payload.held), payload.model, headers)
        return payload.reader.usage
    _, body, _ = _whole(request, verdict)
    events, usage = whole_as_events(request.query.kind, body)
    await outlet.events(events, verdict.model or "", headers)
    return usage


def _occasion(request: Request, found: Route | Consult) -> Occasion:
    intent, source = (found.intent, found.source) if isinstance(found, Route) else (None, "classifier")
    return Occasion(
        request_id=request.request_id,
        revision=request.policy.table.revision,
        path=request.path,
        operation=request.query.kind,
        intent=intent or "default",
        source=source,
        data_classes=found.data_classes,
        started=request.started,
        tenant=request.tenant,
        by_name=request.by_name,
    )
