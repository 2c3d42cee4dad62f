"""Whatever is sent: never a 500 or 502, and a 503 or 504 only with its reason."""

from __future__ import annotations

import json
import string
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.gateway.conftest import Portfolio
from tests.integration.gateway.models import Plays

PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/folio/route",
    "/v1/models",
    "/healthz",
    "/internal/state",
)
NAMES = ("model", "messages", "prompt", "input", "stream", "stream_options", "n", "tools", "tool_choice", "max_tokens",
         "response_format", "logprobs", "stop", "temperature", "seed", "suffix", "dimensions", "functions", "user")  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(("role", "content", "type", "text", "function", "name", "id")), inner, max_size=4
        ),
    ),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(("user", "assistant", "system", "tool"))},
        optional={
            "content": st.one_of(st.text(max_size=30), VALUES),
            "tool_calls": VALUES,
            "tool_call_id": VALUES,
        },
    ),
    min_size=1,
    max_size=4,
)
NEARLY_RIGHT = st.fixed_dictionaries(
    {"model": st.sampled_from(("folio", "folio/code", "folio/sure", "small", "vectors"))},
    optional={"messages": MESSAGES, "prompt": st.text(max_size=20), "input": st.text(max_size=20)}
    | {name: VALUES for name in NAMES if name not in ("model", "messages", "prompt", "input")},
)
BODIES = st.one_of(
    NEARLY_RIGHT.map(json.dumps).map(str.encode),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6).map(json.dumps).map(str.encode),
    st.binary(max_size=60),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ("content-type", "x-folio-revision", "x-request-id", "x-folio-token", "x-task", "content-encoding")
    ),
    st.text(string.printable.strip(), max_size=20),
    max_size=2,
)
PLAYS = st.sampled_from(
    (
        Plays(),
        Plays(mean=0.1),
        Plays(status=500),
        Plays(status=503),
        Plays(status=400),
        Plays(status=429),
        Plays(breaks_after=1),
        Plays(mean=None),
        Plays(tool_call="c"),
    )
)
QUICKLY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICKLY
@given(path=st.sampled_from(PATHS), body=BODIES, headers=HEADERS, small=PLAYS, large=PLAYS)
async def test_nothing_makes_the_gateway_fail(
    portfolio: Portfolio, path: str, body: bytes, headers: dict[str, str], small: Plays, large: Plays
) -> None:
    portfolio.models.plays = {"small": small, "large": large, "vectors": small}
    answer = await portfolio.client.post(path, content=body, headers=headers)
    check(answer)


def check(answer: httpx.Response) -> None:
    assert answer.status_code not in (500, 502), answer.text
    if answer.status_code >= 400:
        error: dict[str, Any] = answer.json()["error"]
        assert error["message"]
        assert error["code"]
    if answer.status_code in (503, 504):
        assert answer.headers["x-folio-reason"] in (
            "UpstreamError",
            "Unavailable",
            "QueueFull",
            "Timeout",
            "Deadline",
        )
        assert answer.json()["error"]["code"] == answer.headers["x-folio-reason"]
