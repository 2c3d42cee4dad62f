"""Serve's REST API and the gateway's, played by a small server on loopback."""

from __future__ import annotations

import pytest

from folio_cli.local import ports
from folio_cli.local.gateway_api import GatewayApi, GatewayError
from folio_cli.local.serve_api import ServeApi, ServeError
from folio_operator.status import last_line

TRACEBACK = "The deployment failed. Error:\n  File x\nValueError: no such path"
APPLICATIONS = {
    "applications": {
        "gateway": {
            "status": "RUNNING",
            "message": "",
            "deployments": {
                "Gateway": {"message": "", "replicas": [{"state": "RUNNING"}, {"state": "STOPPING"}]}
            },
        },
        "model-a": {
            "status": "DEPLOY_FAILED",
            "message": "Failed to update the deployments ['Model'].",
            "deployments": {"Model": {"message": TRACEBACK, "replicas": []}},
        },
    }
}
STATE = {"replicas": [{"replica": "r1", "revision": "abc"}], "models": [{"name": "a", "state": "Ready"}]}


def test_applications_are_read_with_the_message_that_tells_most(played):
    played.answers["GET /api/serve/applications/"] = (200, APPLICATIONS)

    found = ServeApi(played.port, "t0ken").applications()

    assert (found["gateway"].state, found["gateway"].replicas) == ("RUNNING", 1)
    assert last_line(found["model-a"].message) == "ValueError: no such path"
    assert played.asked[0][2]["authorization"] == "Bearer t0ken"


def test_a_refused_configuration_is_told_once_and_not_repeated(played):
    played.answers["PUT /api/serve/applications/"] = (400, {"error": "no such option"})

    with pytest.raises(ServeError, match="no such option"):
        ServeApi(played.port, "t").put({"applications": []})
    assert len(played.asked) == 1


def test_a_dashboard_that_is_not_there_is_one_sentence():
    with pytest.raises(ServeError, match="Ray's dashboard does not answer"):
        ServeApi(_closed_port(), "t").applications()


def test_the_gateway_s_state_is_asked_with_the_internal_token(played):
    played.answers["GET /internal/state"] = (200, STATE)

    state = GatewayApi(played.url, "s3cret").state()

    assert state is not None
    assert state.replicas[0].revision == "abc"
    assert played.asked[0][2]["x-folio-token"] == "s3cret"


@pytest.mark.parametrize("answer", [(404, {"error": {"message": "no"}}), (200, {"other": 1}), (502, None)])
def test_a_gateway_that_says_anything_else_is_not_seen(played, answer):
    played.answers["GET /internal/state"] = answer

    assert GatewayApi(played.url).state() is None


def test_an_error_of_the_gateway_is_its_own_message(played):
    played.answers["POST /v1/folio/route"] = (404, {"error": {"message": "model ghost does not exist"}})

    with pytest.raises(GatewayError, match="model ghost does not exist") as caught:
        GatewayApi(played.url).route({}, {})
    assert caught.value.status == 404


def test_a_gateway_that_is_not_there_asks_whether_up_runs():
    with pytest.raises(GatewayError, match="is `folio up` running"):
        GatewayApi(f"http://127.0.0.1:{_closed_port()}").route({}, {})


def test_ports_are_all_different_and_a_taken_one_is_named_with_its_owner(played):
    chosen = ports.choose(0)
    single = {chosen.http, chosen.gcs, chosen.dashboard, *chosen.others}
    assert len(single) == 3 + len(chosen.others)

    with pytest.raises(ports.PortInUseError, match=rf"port {played.port} is in use.*add --port"):
        ports.choose(played.port)


def _closed_port() -> int:
    return ports.choose(0).http
