"""Settings, health, metrics, the Lease's object: small parts of the operator's shell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from kubernetes import client
from tests.unit.operator.shell import GHOST, Shell

from folio_api.meta import Key
from folio_api.table import ModelState
from folio_operator.cluster import POLICY, PORTFOLIO
from folio_operator.health import Health, Heartbeat
from folio_operator.lease import ConflictError, Record
from folio_operator.lease_store import KubeLeaseStore
from folio_operator.main import _lasting
from folio_operator.metrics import Metrics
from folio_operator.reports import Report
from folio_operator.settings import SettingsError, from_environment
from folio_operator.status import Finding
from folio_operator.work import Item, Passes

DESK = Key("bank", "desk")


def test_settings_have_defaults_for_everything():
    settings = from_environment({})
    assert settings.namespaces == ()
    assert settings.lease_namespace == settings.installation.operator_namespace == "folio-system"


def test_namespaces_stand_with_commas_between():
    assert from_environment({"FOLIO_WATCH_NAMESPACE": "bank, shop,"}).namespaces == ("bank", "shop")


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("FOLIO_HEALTH_PORT", "many", "write a number"),
        ("FOLIO_LOG_LEVEL", "loud", "write DEBUG, INFO, WARNING or ERROR"),
        ("FOLIO_KUBERAY_LABELS", "app=x", "write a JSON object"),
        ("FOLIO_KUBERAY_LABELS", '{"a": 1}', "write a JSON object"),
        ("FOLIO_EGRESS", "perhaps", "write true or false"),
        ("FOLIO_EGRESS_ALLOW", "10.0.0.0/8", "write a JSON list"),
        ("FOLIO_EGRESS_ALLOW", '[{"from": []}]', "each with to and ports"),
        ("FOLIO_EGRESS_ALLOW", "[{}]", "each with to and ports"),
        ("FOLIO_API_SERVER_CIDRS", "everywhere", "write networks such as"),
        ("FOLIO_API_SERVER_PORTS", "https", "write numbers"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_with_its_fix(name: str, value: str, fix: str):
    with pytest.raises(SettingsError, match=f"{name}=.*{fix}"):
        from_environment({name: value})


def health(heartbeat: Heartbeat, *, stuck: bool = False) -> Health:
    return Health(heartbeat, lambda: stuck, lambda: b"page")


def test_health_fails_when_the_loop_stands_still_or_the_watches_do():
    now = [0.0]
    heartbeat = Heartbeat(lambda: now[0])
    assert health(heartbeat).answer("/healthz")[0] == 200
    assert health(heartbeat, stuck=True).answer("/healthz")[0] == 503
    now[0] = 61.0
    assert health(heartbeat).answer("/healthz") == (503, b"the main loop stands still\n")
    assert health(heartbeat).answer("/readyz")[0] == 200
    assert health(heartbeat).answer("/metrics") == (200, b"page")
    assert health(heartbeat).answer("/")[0] == 404


def test_metrics_show_what_is_and_forget_what_was():
    metrics = Metrics()

    def shown(state: str, truth: str) -> str:
        model = ModelState(name="triage", state=state)  # type: ignore[arg-type]
        metrics.portfolio(Report(DESK, (Finding("Ready", truth, "x"),), judged={}, models=(model,)))  # type: ignore[arg-type]
        return metrics.page().decode()

    assert 'folio_model_state{model="triage",name="desk",namespace="bank",state="Loading"} 1.0' in shown(
        "Loading", "False"
    )
    page = shown("Ready", "True")
    assert 'type="Ready"' in page
    assert "Loading" not in page
    assert 'status="False"' not in page
    metrics.forget(DESK)
    assert "triage" not in metrics.page().decode()


async def test_metrics_show_what_policies_and_models_say_of_themselves(settled: Shell):
    metrics = Metrics()
    metrics.show_shared(settled.store)
    programmed = 'folio_policy_condition{name="default",namespace="bank",status="%s",type="Programmed"} 1.0'
    assert programmed % "True" in metrics.page().decode()
    triage = 'folio_specialist_condition{name="triage",namespace="bank",status="True",type="Ready"} 1.0'
    assert triage in metrics.page().decode()

    settled.write(GHOST)
    await settled.pass_over()
    page = metrics.page().decode()
    assert programmed % "True" not in page
    assert programmed % "False" in page
    assert 'folio_policy_condition{name="default",namespace="bank",status="True",type="Stalled"} 1.0' in page

    settled.cluster.remove(POLICY, Key("bank", "default"))
    assert 'folio_policy_condition{name="default"' not in metrics.page().decode()


async def test_a_pass_is_timed_however_it_ends():
    timed: list[tuple[str, str]] = []

    async def good(key: Key) -> None: ...

    async def bad(key: Key) -> None:
        raise ConnectionError

    def note(kind: str, result: str, seconds: float) -> None:
        timed.append((kind, result))

    await Passes({PORTFOLIO: good}, note).run(Item(PORTFOLIO, DESK))
    with pytest.raises(ConnectionError):
        await Passes({PORTFOLIO: bad}, note).run(Item(PORTFOLIO, DESK))
    assert timed == [("ModelPortfolio", "success"), ("ModelPortfolio", "error")]


class FakeLeases:
    """The client's API of Leases: one object, or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.sent: list[dict[str, Any]] = []

    def read_namespaced_lease(self, name: str, namespace: str, **_: Any) -> Any:
        return self._answer({"spec": {"holderIdentity": "a", "leaseTransitions": 3}})

    def create_namespaced_lease(self, namespace: str, body: dict[str, Any], **_: Any) -> Any:
        return self._answer(body)

    def replace_namespaced_lease(self, name: str, namespace: str, body: dict[str, Any], **_: Any) -> Any:
        return self._answer(body)

    def _answer(self, body: dict[str, Any]) -> Any:
        if self.error:
            raise self.error
        self.sent.append(body)
        spec = body["spec"]
        return SimpleNamespace(
            spec=SimpleNamespace(
                holder_identity=spec["holderIdentity"], lease_transitions=spec["leaseTransitions"]
            ),
            metadata=SimpleNamespace(resource_version="8"),
        )


class FakeDeployments:
    """The client's API of Deployments: one object, or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    def read_namespaced_deployment(self, name: str, namespace: str, **_: Any) -> Any:
        self.asked += 1
        if self.error:
            raise self.error
        return SimpleNamespace(metadata=SimpleNamespace(uid=f"uid of {namespace}/{name}"))


def leases(
    error: Exception | None = None, owner: Exception | None = None
) -> tuple[KubeLeaseStore, FakeLeases]:
    api, key = FakeLeases(error), Key("folio-system", "folio-operator")
    return KubeLeaseStore(api, key, 10, FakeDeployments(owner)), api  # type: ignore[arg-type]


def test_a_lease_goes_with_the_deployment_of_its_name_which_is_asked_for_once():
    store, api = leases()
    for version in ("", "8"):
        store.write(Record("a", 0, version))
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "folio-operator"}
    owned = [{**owner, "uid": "uid of folio-system/folio-operator"}]
    assert [each["metadata"]["ownerReferences"] for each in api.sent] == [owned, owned]
    assert store.deployments.asked == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [403, 404])
def test_a_lease_without_a_deployment_or_the_right_to_see_it_has_no_owner(status: int):
    store, api = leases(owner=client.ApiException(status))
    store.write(Record("a", 0, ""))
    assert api.sent[0]["metadata"]["ownerReferences"] == []


def test_a_deployment_that_cannot_be_asked_for_is_trouble_of_the_way_and_asked_for_again():
    store, api = leases(owner=client.ApiException(500))
    with pytest.raises(OSError, match="the Lease cannot be written"):
        store.write(Record("a", 0, ""))
    store.deployments.error = None  # type: ignore[attr-defined]
    store.write(Record("a", 0, ""))
    assert len(api.sent[0]["metadata"]["ownerReferences"]) == 1


def test_a_lease_is_created_without_a_version_and_replaced_with_it():
    store, api = leases()
    assert store.write(Record("a", 0, "")) == Record("a", 0, "8")
    store.write(Record("a", 0, "8"))
    assert "resourceVersion" not in api.sent[0]["metadata"]
    assert api.sent[1]["metadata"]["resourceVersion"] == "8"
    assert store.read() == Record("a", 3, "8")


def test_an_absent_lease_is_none_a_conflict_is_one_and_all_other_trouble_is_of_the_way():
    assert leases(client.ApiException(404))[0].read() is None
    with pytest.raises(ConflictError):
        leases(client.ApiException(409))[0].write(Record("a", 0, "1"))
    for trouble in (client.ApiException(500), urllib3.exceptions.MaxRetryError(None, "/", None)):  # type: ignore[arg-type]
        with pytest.raises(OSError, match="the Lease cannot be read"):
            leases(trouble)[0].read()
        with pytest.raises(OSError, match="the Lease cannot be written"):
            leases(trouble)[0].write(Record("a", 0, "1"))


async def test_what_nobody_waits_for_begins_again_after_a_fault(caplog: pytest.LogCaptureFixture):
    tries: list[str] = []

    async def run() -> None:
        tries.append("begun")
        if len(tries) == 1:
            raise KeyError("served")

    await _lasting(run, pause_seconds=0)
    assert tries == ["begun", "begun"]
    assert "begins again" in caplog.text
