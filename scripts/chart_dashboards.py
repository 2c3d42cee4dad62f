"""The chart's Grafana dashboards, as what is asked; the JSON around it is the same for every panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS, HEIGHT = 3, 8


@dataclass(frozen=True)
class Panel:
    """A graph: a query, and what its lines are called."""

    title: str
    query: str
    legend: str
    unit: str = "short"


OPERATOR = (
    Panel(
        "Portfolios that are Ready", 'sum(folio_portfolio_condition{type="Ready", status="True"})', "ready"
    ),
    Panel(
        "Conditions that are False",
        'sum by (type) (folio_portfolio_condition{status="False"})',
        "{{type}}",
    ),
    Panel("Models by state", "sum by (state) (folio_model_state)", "{{state}}"),
    Panel(
        "Passes a second",
        "sum by (kind, result) (rate(folio_operator_reconcile_total[$__rate_interval]))",
        "{{kind}} {{result}}",
        "ops",
    ),
    Panel(
        "Seconds a pass takes (p99)",
        "histogram_quantile(0.99, sum by (kind, le)"
        " (rate(folio_operator_reconcile_duration_seconds_bucket[$__rate_interval])))",
        "{{kind}}",
        "s",
    ),
    Panel(
        "Requests to the API server a second",
        "sum by (verb, resource, code) (rate(folio_operator_api_requests_total[$__rate_interval]))",
        "{{verb}} {{resource}} {{code}}",
        "reqps",
    ),
    Panel("Objects that wait for a pass", "sum(folio_operator_queue_depth)", "waiting"),
    Panel("Replicas that lead", "sum(folio_operator_leader)", "leaders"),
)
GATEWAY = (
    Panel(
        "Requests a second by status",
        "sum by (status) (rate(folio_requests_total[$__rate_interval]))",
        "{{status}}",
        "reqps",
    ),
    Panel(
        "Seconds until the end of an answer (p50)",
        "histogram_quantile(0.5, sum by (gen_ai_response_model, le)"
        " (rate(gen_ai_server_request_duration_seconds_bucket[$__rate_interval])))",
        "{{gen_ai_response_model}}",
        "s",
    ),
    Panel(
        "Seconds until the end of an answer (p99)",
        "histogram_quantile(0.99, sum by (gen_ai_response_model, le)"
        " (rate(gen_ai_server_request_duration_seconds_bucket[$__rate_interval])))",
        "{{gen_ai_response_model}}",
        "s",
    ),
    Panel(
        "Who answers",
        "sum by (rung) (rate(folio_route_total[$__rate_interval]))",
        "{{rung}}",
        "reqps",
    ),
    Panel(
        "Why queries are handed on",
        "sum by (rung, reason) (rate(folio_escalations_total[$__rate_interval]))",
        "{{rung}} {{reason}}",
        "reqps",
    ),
    Panel(
        "What intents are recognised",
        "sum by (intent, source) (rate(folio_intents_total[$__rate_interval]))",
        "{{intent}} {{source}}",
        "reqps",
    ),
    Panel(
        "USD an hour by model",
        "sum by (rung) (rate(folio_cost_usd_total[$__rate_interval])) * 3600",
        "{{rung}}",
        "currencyUSD",
    ),
    Panel(
        "Confidence that was judged (median)",
        "histogram_quantile(0.5, sum by (rung, le) (rate(folio_confidence_bucket[$__rate_interval])))",
        "{{rung}}",
        "percentunit",
    ),
    Panel(
        "Tokens a second",
        "sum by (gen_ai_response_model, gen_ai_token_type)"
        " (rate(gen_ai_client_token_usage_sum[$__rate_interval]))",
        "{{gen_ai_response_model}} {{gen_ai_token_type}}",
    ),
    Panel("Requests at models' replicas", "sum by (model) (folio_in_flight)", "{{model}}"),
    Panel("Requests that wait for a replica", "sum by (model) (folio_queue)", "{{model}}"),
    Panel(
        "Busy devices",
        "sum by (rung, device) (rate(folio_device_seconds_total[$__rate_interval]))",
        "{{rung}} {{device}}",
    ),
)


def board(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Return a dashboard as Grafana stores it."""
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["folio"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source]},
        "panels": [_panel(number, each) for number, each in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    width = 24 // COLUMNS
    place = {"x": number % COLUMNS * width, "y": number // COLUMNS * HEIGHT, "w": width, "h": HEIGHT}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": "A", "datasource": SOURCE, "expr": panel.query, "legendFormat": panel.legend},
        ],
    }


BOARDS = {
    "operator": board("folio-operator", "Folio: operator and portfolios", OPERATOR),
    "gateway": board("folio-gateway", "Folio: gateways", GATEWAY),
}
