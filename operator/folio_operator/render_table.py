"""The routing table of a portfolio: what its gateways run on. Holds no secret and nothing of Kubernetes."""

from __future__ import annotations

from folio_api import policy as written
from folio_api import table
from folio_api.door import Auth
from folio_api.governance import Budget, DataClass
from folio_api.meta import SecretValue
from folio_api.spec import secret_file
from folio_operator import effective, prices
from folio_operator.applications import application
from folio_operator.identity import identity
from folio_operator.world import Member, Portfolio

TARGET_CONFIDENCE = 0.90
MAX_TABLE_BYTES = 256 * 1024


def routing_table(portfolio: Portfolio) -> table.Table:
    """Return the table of a portfolio that the checks accepted, under its revision."""
    spec, policy = portfolio.resource.spec, portfolio.policy
    assert policy is not None
    return table.Table(
        portfolio=portfolio.key.name,
        namespace=portfolio.key.namespace,
        region=spec.region,
        models=tuple(_model(portfolio, member) for member in portfolio.members),
        intents=tuple(
            _intent(intent, policy.spec) for intent in sorted(policy.spec.intents, key=lambda each: each.name)
        ),
        default_ladder=_ladder(policy.spec.default_ladder),
        on_exhausted=policy.spec.on_exhausted,
        uncalibrated=policy.spec.uncalibrated,
        classifier=_classifier(portfolio, policy.spec.classifier),
        data_classes=tuple(
            _data_class(each) for each in sorted(spec.data_classes, key=lambda each: each.name)
        ),
        artifact=_artifact(policy.spec.artifact),
        streaming=table.Streaming(
            commit_after_tokens=policy.spec.streaming.commit_after_tokens,
            heartbeat_after_seconds=policy.spec.streaming.heartbeat_after_seconds,
        ),
        limits=_limits(policy.spec.limits),
        auth=_auth(spec.gateway.auth),
        budgets=tuple(_budget(each) for each in sorted(spec.budgets, key=lambda each: each.name)),
    ).with_revision()


def size_bytes(rendered: table.Table) -> int:
    """Return how large the table travels, which Serve's `user_config` and etcd bound."""
    return len(rendered.model_dump_json(exclude_defaults=True).encode())


def _model(portfolio: Portfolio, member: Member) -> table.Model:
    host = portfolio.base(member) if member.engine == "adapter" else member
    own = effective.has_own_application(member) or member.engine == "adapter"
    scaled = (host or member).entry.scaling
    return table.Model(
        name=member.name,
        engine=member.engine,
        application=application(portfolio, host) if own and host else None,
        tasks=effective.tasks(portfolio, member),
        inputs=effective.inputs(member),
        features=effective.features(portfolio, member),
        context_tokens=effective.context_tokens(portfolio, member),
        clearances=tuple(sorted(member.entry.clearances)),
        region=region(portfolio, member),
        price=prices.price(portfolio, member),
        identity=identity(portfolio, member),
        external=_external(member),
        max_ongoing_requests=effective.requests_at_once(host or member),
        max_queued_requests=scaled.max_queued_requests,
        scales_to_zero=own and scaled.min_replicas == 0,
    )


def region(portfolio: Portfolio, member: Member) -> str | None:
    external = member.model.spec.external
    return external.region if external else portfolio.resource.spec.region


def _external(member: Member) -> table.External | None:
    external = member.model.spec.external
    if external is None:
        return None
    bundle = external.ca_bundle.config_map_key_ref if external.ca_bundle else None
    return table.External(
        base_url=external.base_url.rstrip("/"),
        model=external.model,
        api_key_file=_file(external.api_key),
        ca_file=secret_file(bundle.name, bundle.key) if bundle else None,
        canary=external.canary,
        requests_per_minute=external.rate_limit.requests_per_minute,
        tokens_per_minute=external.rate_limit.tokens_per_minute,
    )


def _file(value: SecretValue | None) -> str | None:
    return secret_file(value.secret_key_ref.name, value.secret_key_ref.key) if value else None


def _intent(intent: written.Intent, policy: written.RoutingPolicySpec) -> table.Intent:
    match = intent.match_any
    return table.Intent(
        name=intent.name,
        priority=intent.priority,
        headers=_headers(match.headers),
        keywords=match.keywords,
        inputs=match.inputs,
        examples=match.examples,
        ladder=_ladder(intent.ladder),
        on_exhausted=intent.on_exhausted or policy.on_exhausted,
        interchangeable=intent.interchangeable,
    )


def _headers(headers: tuple[written.HeaderMatch, ...]) -> tuple[table.HeaderMatch, ...]:
    return tuple(table.HeaderMatch(name=header.name.lower(), value=header.value) for header in headers)


def _ladder(rungs: tuple[written.Rung, ...]) -> tuple[table.Rung, ...]:
    return tuple(_rung(rung) for rung in rungs)


def _rung(rung: written.Rung) -> table.Rung:
    return table.Rung(
        model=rung.model,
        accept=_accept(rung.accept) if rung.accept else table.Accept(signal="Always"),
        timeout_seconds=rung.timeout_seconds,
        context=table.Context(drafts=rung.context.drafts, passages=rung.context.passages),
    )


def _accept(accept: written.Accept) -> table.Accept:
    return table.Accept(
        signal=accept.signal,
        at_least=float(accept.at_least) if accept.at_least is not None else None,
        target=_target(accept.target),
        samples=accept.samples,
        models=accept.models or (),
    )


def _target(target: written.Target | None) -> table.Target | None:
    if target is None:
        return None
    confidence = float(target.confidence) if target.confidence is not None else TARGET_CONFIDENCE
    return table.Target(max_error_rate=float(target.max_error_rate), confidence=confidence)


def _classifier(portfolio: Portfolio, classifier: written.Classifier) -> table.Classifier:
    if classifier.type != "MiniLM":
        return table.Classifier(type=classifier.type, model=classifier.model)
    embedder = effective.sentence_embedder(portfolio)
    return table.Classifier(type="MiniLM", model=embedder.name if embedder else None)


def _data_class(data_class: DataClass) -> table.DataClass:
    return table.DataClass(
        name=data_class.name,
        detectors=tuple(data_class.match_any.detectors),
        headers=_headers(data_class.match_any.headers),
        regions=tuple(sorted(data_class.regions)),
        when_none_cleared=data_class.when_none_cleared,
    )


def _budget(budget: Budget) -> table.Budget:
    units: dict[table.BudgetUnit, object] = {
        "usd": budget.limit.usd,
        "tokens": budget.limit.tokens,
        "requests": budget.limit.requests,
    }
    unit, limit = next((unit, limit) for unit, limit in units.items() if limit is not None)
    return table.Budget(
        name=budget.name,
        scope=budget.scope,
        unit=unit,
        limit=float(str(limit)),
        window_seconds=budget.window_seconds,
        on_exceeded=budget.on_exceeded,
    )


def _artifact(artifact: written.Artifact | None) -> table.Artifact | None:
    return table.Artifact(uri=artifact.uri, sha256=artifact.sha256) if artifact else None


def _auth(auth: Auth | None) -> table.Auth | None:
    if auth is None:
        return None
    jwt = auth.jwt and table.Jwt(
        issuer=auth.jwt.issuer,
        audiences=tuple(sorted(auth.jwt.audiences)),
        jwks_uri=auth.jwt.jwks_uri,
        tenant_claim=auth.jwt.tenant_claim,
    )
    return table.Auth(api_keys=auth.api_keys is not None, jwt=jwt)


def _limits(limits: written.Limits) -> table.Limits:
    cost = limits.max_cost_per_query
    return table.Limits(
        deadline_seconds=limits.deadline_seconds,
        max_cost_per_query_usd=float(cost) if cost is not None else None,
    )
