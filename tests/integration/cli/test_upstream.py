"""What `--upstream` says of a URL before anything is started for it."""

from __future__ import annotations

import re

import pytest
from tests.integration.cli.conftest import Played

from folio_cli.exits import UsageProblem
from folio_cli.local import ports
from folio_cli.upstream import Upstream, insist_on_answer

MODELS = {"object": "list", "data": [{"id": "folio"}, {"id": "folio/facts"}]}


@pytest.fixture
def host(played: Played) -> str:
    """Another portfolio's list of models, for who has its key."""
    played.key = "k3y"
    played.answers = {"GET /v1/models": (200, MODELS), "GET /other/models": (200, ["folio"])}
    return played.url


def problem(upstream: Upstream) -> str:
    with pytest.raises(UsageProblem) as caught:
        insist_on_answer(upstream)
    (fix,) = caught.value.lines
    return f"{caught.value.title}; {fix}"


def test_one_that_lists_the_model_is_taken(host: str, played: Played):
    insist_on_answer(Upstream(f"{host}/v1/", key="k3y"))

    assert [path for _, path, _ in played.asked] == ["/v1/models"]


@pytest.mark.parametrize(
    ("path", "model", "key", "said"),
    [
        ("/v1", "larger", "k3y", "/v1 has no model larger; name one .* --upstream-model: folio, folio/facts"),
        ("/v1", "folio", None, "/v1 says 401 to our key; export its key as FOLIO_SECRET_UPSTREAM_API_KEY"),
        ("", "folio", "k3y", "/models lists no models: it says 404; write the URL up to and with /v1"),
        ("/other", "folio", "k3y", "/other/models lists no models: it says 200; write the URL up to"),
    ],
    ids=["another model", "no key", "no such path", "no such list"],
)
def test_one_that_cannot_answer_is_refused_with_the_fix(host: str, path, model, key, said):

    assert re.match(f"--upstream {host}{said}", problem(Upstream(host + path, model=model, key=key)))


def test_one_that_is_not_there_is_refused():
    url = f"http://127.0.0.1:{ports.choose(0).http}/v1"

    assert problem(Upstream(url)).startswith(f"--upstream {url} does not answer: ")
