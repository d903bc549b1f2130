# The server, and nothing that trains: build it with `make image`, which deploy/build_image.sh does.
# The base needs a python3 of 3.11 or newer with venv and pip; both stages have the same one, so that the environment fits.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY proto proto
COPY client client
COPY convert convert
COPY server server
# An index of packages other than the default, and who vouches for it, come as secrets: neither stays in the image.
# pip itself stays outside of the environment. What is compiled here starts fast where nothing can be written. The constraints
# are variables, because --constraint does not reach what builds the wheel; which of the two does depends on pip's version.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv --without-pip /opt/tamiz \
    && PIP_CONSTRAINT=/source/constraints.txt PIP_BUILD_CONSTRAINT=/source/constraints.txt \
       python3 -m pip --python /opt/tamiz/bin/python install --no-cache-dir --compile '.[server,signing,jwt]'

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tamiz-server" \
      org.opencontainers.image.description="A low-latency model-serving runtime with calibrated confidence gating" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/tamiz /opt/tamiz
WORKDIR /models
ENV PATH=/opt/tamiz/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TAMIZ_HOST=0.0.0.0 \
    TAMIZ_MODEL_REPOSITORY=/models
# A number, because Kubernetes cannot tell that a name is not root.
USER 65532:65532
EXPOSE 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["tamiz-server", "health"]
ENTRYPOINT ["tamiz-server"]
