# The server without training libraries. Build it with `make image`, which runs deploy/build_image.sh.
# The base needs python3 3.11 or newer with venv and pip. Both stages use the same base, so that the environment fits.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY deploy/requirements deploy/requirements
COPY proto proto
COPY client client
COPY convert convert
COPY server server
# Another package index, and the certificates to trust for it, come as secrets, which do not stay in the image.
# pip stays outside the environment, and so does what builds the wheel. Every package has to have one of the hashes in
# deploy/requirements/ (`make constraints`). --compile makes the server start fast on a read-only file system.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv --without-pip /opt/tamiz \
    && python3 -m venv --without-pip /opt/build \
    && python3 -m pip --python /opt/build/bin/python install --no-cache-dir --compile --require-hashes -r deploy/requirements/build.txt \
    && python3 -m pip --python /opt/build/bin/python wheel --no-build-isolation --no-deps --wheel-dir /wheel . \
    && python3 -m pip --python /opt/tamiz/bin/python install --no-cache-dir --compile --require-hashes -r deploy/requirements/image.txt \
    && python3 -m pip --python /opt/tamiz/bin/python install --no-cache-dir --compile --no-deps --no-index /wheel/*.whl

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tamiz-server" \
      org.opencontainers.image.description="A low-latency model-serving runtime with calibrated confidence gating" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/tamiz /opt/tamiz
WORKDIR /models
ENV PATH=/opt/tamiz/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TAMIZ_HOST=0.0.0.0 \
    TAMIZ_MODEL_REPOSITORY=/models
# A number, because from a name Kubernetes cannot tell that the user is not root.
USER 65532:65532
EXPOSE 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["tamiz-server", "health"]
ENTRYPOINT ["tamiz-server"]
