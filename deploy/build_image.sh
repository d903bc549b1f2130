#!/usr/bin/env bash
# Builds the image with the builder that is installed: deploy/build_image.sh [NAME:TAG] [--build-arg BASE=…] …
# TAMIZ_BUILDER chooses docker, podman or buildah; all other arguments go to the builder.
# The build uses this machine's pip configuration (/etc/pip.conf or PIP_CONFIG_FILE, and the authorities of SSL_CERT_FILE or
# of pip's own setting) as secrets.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
image=tamiz-server:$version
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  image=$1
  shift
fi

usable() {
  command -v "$1" >/dev/null && { [ "$1" = buildah ] || "$1" info >/dev/null 2>&1; }
}

builder=${TAMIZ_BUILDER:-}
if [ -z "$builder" ]; then
  for each in docker podman buildah; do
    if usable "$each"; then
      builder=$each
      break
    fi
  done
fi

case $builder in
  docker) build=(docker build) ;;
  podman) build=(podman build --format docker) ;; # the OCI format has no HEALTHCHECK
  buildah) build=(buildah bud --format docker) ;;
  "")
    echo "build_image.sh: found neither docker nor podman (with its service running) nor buildah; install one of them" >&2
    exit 1
    ;;
  *)
    echo "build_image.sh: TAMIZ_BUILDER is '$builder'; expected docker, podman or buildah" >&2
    exit 1
    ;;
esac

secret() { # ID FILE: give the file to the build if it exists
  if [ -f "$2" ]; then build+=(--secret "id=$1,src=$2"); fi
}
secret pip.conf "${PIP_CONFIG_FILE:-/etc/pip.conf}"
configured=$(python3 -m pip config list 2>/dev/null | sed -n "s/^[a-z:]*\.cert='\(.*\)'$/\1/p" | tail -n 1 || true)
secret ca-certificates "${SSL_CERT_FILE:-${configured}}"

revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
exec env DOCKER_BUILDKIT=1 "${build[@]}" --file Dockerfile --tag "$image" \
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$@" .
