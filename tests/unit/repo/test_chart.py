"""What the chart must keep in step with the code, and what needs no Helm to see. tests/chart renders it."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from folio_api.load import load
from folio_operator import allowed, apply, cluster, settings

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm/folio"
sys.path.insert(0, str(ROOT / "scripts"))
import chart_files  # noqa: E402

LABELS = {"gen_ai_response_model", "gen_ai_token_type"}
WRITES = {"create", "patch"}
EXPORTED = re.compile(r"`((?:folio|gen_ai)_[a-z_]+)`")
ASKED = re.compile(r"\b((?:folio|gen_ai)_[a-z_]+?)(?:_bucket|_sum|_count)?\b(?=[{\[) \n]|$)")


@pytest.fixture
def rules() -> dict[tuple[str, str], set[str]]:
    """Verbs by API group and resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in yaml.safe_load((CHART / "files/operator-rules.yaml").read_text()):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def may(rules: dict[tuple[str, str], set[str]], kind: cluster.Kind, subresource: str = "") -> set[str]:
    return rules.get((kind.group, kind.plural + subresource), set())


@pytest.mark.parametrize("path", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_chart_carries_the_resource_definitions_as_they_are(path):
    assert (CHART / "files/crds" / path.name).read_text() == path.read_text(), "run make generated"


def test_what_the_chart_generates_is_committed(monkeypatch):
    monkeypatch.chdir(ROOT)
    stale = [str(path) for path, text in chart_files.generated().items() if path.read_text() != text]
    assert stale == [], "run `python scripts/chart_files.py`"


def test_every_value_is_described(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert list(chart_files.undescribed()) == []


def test_the_operator_may_watch_what_it_watches(rules):
    assert [kind.plural for kind in cluster.WATCHED if not {"list", "watch"} <= may(rules, kind)] == []


def test_the_operator_may_write_the_children_of_a_portfolio(rules):
    lacking = [kind.plural for kind in cluster.CHILDREN if not {"get", *WRITES} <= may(rules, kind)]
    assert lacking + [kind.plural for kind in apply.PRUNED if "delete" not in may(rules, kind)] == []
    assert may(rules, cluster.REVISION) >= {"delete"}
    assert may(rules, cluster.RAY_CLUSTER) == {"get", "list", "watch", "patch"}
    assert may(rules, cluster.POD) == {"list", "watch"}


def test_the_operator_writes_statuses_and_a_finalizer_of_what_people_write(rules):
    assert [may(rules, kind, "/status") for kind in cluster.INPUTS] == [{"patch"}] * len(cluster.INPUTS)
    assert may(rules, cluster.POLICY) == may(rules, cluster.MODEL) == {"list", "watch"}
    assert may(rules, cluster.PORTFOLIO) == {"list", "watch", "patch"}  # its finalizer


def test_no_right_is_a_wildcard_and_secrets_are_met_by_name(rules):
    assert "*" not in {each for key, verbs in rules.items() for each in (*key, *verbs)}
    assert may(rules, cluster.SECRET) == {"get", *WRITES}
    assert may(rules, cluster.CONFIG_MAP) == may(rules, cluster.SERVICE) == {"get"}


def test_every_kind_that_the_operator_may_touch_is_one_that_it_knows(rules):
    known = {(kind.group, kind.plural) for kind in cluster.ALL}
    assert {(group, resource.partition("/")[0]) for group, resource in rules} <= known


def test_the_deployment_names_only_settings_that_the_operator_reads():
    written = set(re.findall(r"name: (FOLIO_\w+)", (CHART / "templates/deployment.yaml").read_text()))
    readers = (Path(module.__file__).read_text() for module in (settings, allowed))
    read = {name for text in readers for name in re.findall(r'"(FOLIO_\w+)"', text)}
    assert read - written == {"FOLIO_HEALTH_HOST"}
    assert written <= read


def test_alerts_and_dashboards_ask_for_metrics_that_there_are():
    pages = "".join((ROOT / "docs/reference" / name).read_text() for name in ("metrics.md", "operator.md"))
    boards = [json.loads(path.read_text()) for path in (CHART / "files/dashboards").glob("*.json")]
    queries = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    alerts = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    queries += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    asked = {name for query in queries for name in ASKED.findall(query)} - LABELS
    assert len(asked) > 15
    assert asked <= set(EXPORTED.findall(pages))


def test_chart_image_and_distribution_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project is not None
    assert chart["version"] == chart["appVersion"] == project[1]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples/install").glob("*/portfolio.yaml")), ids=lambda path: path.parent.name
)
def test_the_portfolio_of_every_example_is_valid(path):
    assert load([path]).errors == ()
