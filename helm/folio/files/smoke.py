"""What `helm test` runs: every replica is ready, one leads, and the API server knows the kinds."""

import json
import os
import socket
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KINDS = {"ModelPortfolio", "RoutingPolicy", "SpecialistModel", "PortfolioEvaluation"}
PATIENCE_SECONDS = 60


def operator(address: str, path: str) -> str:
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{os.environ['OPERATOR_PORT']}{path}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def kinds(group_version: str) -> set[str]:
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    token = (ACCOUNT / "token").read_text()
    request = urllib.request.Request(
        f"{server}/apis/{group_version}", headers={"Authorization": f"Bearer {token}"}
    )
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
        return {each["kind"] for each in json.load(answer)["resources"]}


def trouble() -> str:
    """Return what is wrong, or nothing."""
    try:
        found = socket.getaddrinfo(os.environ["OPERATOR_HOST"], None, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        return f"no replica is ready, see its log: {os.environ['OPERATOR_HOST']} has no address ({error})"
    replicas = sorted({str(each[4][0]) for each in found})
    if len(replicas) < int(os.environ["OPERATOR_REPLICAS"]):
        return f"only {len(replicas)} of {os.environ['OPERATOR_REPLICAS']} replicas are ready"
    for address in replicas:
        operator(address, "/healthz")
        operator(address, "/readyz")
    leaders = [each for each in replicas if "\nfolio_operator_leader 1.0" in operator(each, "/metrics")]
    if len(leaders) != 1:
        return f"{len(leaders)} of {len(replicas)} replicas lead, which ought to be one"
    missing = KINDS - kinds("folio.dev/v1alpha1")
    return f"the API server lacks {', '.join(sorted(missing))}: set crds.enabled" if missing else ""


def main() -> None:
    """Try until all is well or patience is at an end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found = trouble()
        except OSError as error:
            found = str(error)
        if not found:
            print("the operator leads, and the API server knows its kinds")
            return
        if time.monotonic() > deadline:
            sys.exit(found)
        time.sleep(1)


main()
