#!/usr/bin/env bash
# with-cluster.sh [OPTION OF up...] -- COMMAND...: runs COMMAND against the cluster of KUBECONFIG.
# Without KUBECONFIG it starts the cluster of CLUSTER_DIR, and takes it down again however COMMAND ends.
set -euo pipefail

options=()
while [ "${1---}" != -- ]; do options+=("$1"); shift; done
shift
if [ -z "${KUBECONFIG-}" ]; then
    if [ ! -x "${CLUSTER_DIR:?}/up" ]; then
        echo "with-cluster: no cluster: set KUBECONFIG (kind create cluster --config kind-config.yaml), or CLUSTER_DIR to a directory with up and down" >&2
        exit 1
    fi
    trap '"$CLUSTER_DIR/down"' EXIT
    "$CLUSTER_DIR/down" # one that was cut off may still be there
    settings=$("$CLUSTER_DIR/up" "${options[@]}")
    eval "$settings"
    [ ! -x "$CLUSTER_DIR/node" ] || export FOLIO_E2E_NODE="'$CLUSTER_DIR/node' {verb} {number}"
fi
"$@"
