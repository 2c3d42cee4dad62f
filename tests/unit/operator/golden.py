"""Renders the golden files: `python -m tests.unit.operator.golden` writes them, a test compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from tests.unit.operator.desk import PORTFOLIO, Edits, desk, owned

from folio_api.load import load
from folio_operator import site
from folio_operator.children import Installation
from folio_operator.desired import Circumstances, desired
from folio_operator.extras import is_extra
from folio_operator.serve_config import GATEWAY
from folio_operator.world import Portfolio, gather

FOLDER = Path(__file__).with_name("golden")
JWT = {"issuer": "https://id.acme.dev", "audiences": ["folio"], "jwksURI": "https://id.acme.dev/jwks"}
PARENT = {"name": "public", "namespace": "infra", "sectionName": "https"}
ROUTE: Edits = {
    PORTFOLIO: {
        "gateway.auth": {"jwt": JWT},
        "gateway.expose": {"httpRoute": {"parentRefs": [PARENT], "hostnames": ["llm.acme.dev"]}},
    }
}
INGRESS: Edits = {
    PORTFOLIO: {
        "gateway.minReplicas": 1,
        "gateway.maxReplicas": 1,
        "gateway.auth": {"jwt": JWT},
        "gateway.expose": {
            "ingress": {
                "className": "nginx",
                "host": "llm.acme.dev",
                "tlsSecretName": "llm-tls",
                "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "120"},
            }
        },
    }
}
SMALL = Path(__file__).with_name("small.yaml")


def small() -> Portfolio:
    """Return the smallest useful portfolio: nothing written that need not be."""
    loaded = load([SMALL])
    assert not loaded.errors, loaded.errors
    (resource,) = loaded.portfolios.values()
    return gather(resource, loaded.policies.values(), loaded.models.values())


def golden() -> dict[str, str]:
    """Return the content of every golden file by its name."""
    full = desired(owned(desk()), Circumstances())
    first = desired(desk(), Circumstances(applications=(GATEWAY,), is_first=True))
    local = desired(desk(), Circumstances(site=site.local(8000), nonces={"triage": "2"}))
    least = desired(small(), Circumstances())
    return {
        "desk.table.yaml": _yaml(full.table.model_dump(mode="json", exclude_defaults=True)),
        "desk.manifests.yaml": _all(full.manifests),
        "desk.first-service.yaml": _yaml(yaml.safe_load(first.ray_service["spec"]["serveConfigV2"])),
        "desk.local-serve.yaml": _yaml(local.serve_config),
        "desk.extras.yaml": _all((*_extras(ROUTE), *_extras(INGRESS))),
        "small.manifests.yaml": _all(least.manifests),
    }


def _extras(expose: Edits) -> tuple[Any, ...]:
    circumstances = Circumstances(installation=Installation(monitoring_namespace="monitoring"))
    return tuple(filter(is_extra, desired(owned(desk(expose)), circumstances).manifests))


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def _all(manifests: tuple[Any, ...]) -> str:
    """Return readable manifests: the Serve configuration as a block of text."""
    dumper = type("Dumper", (yaml.SafeDumper,), {})
    dumper.add_representer(str, _block)
    return yaml.dump_all(manifests, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)


def _block(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.yaml"):
        path.unlink()
    for name, content in golden().items():
        (FOLDER / name).write_text(content)


if __name__ == "__main__":
    write()
