# The gateway's image. Not built on the machines where its tests run, since no container engine runs there:
# tests/helm/test_compose.py compares it with the code, the chart and compose.yaml.
#
#   docker build -t registry.example.com/understudy:0.1.0 .

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
WORKDIR /build

# First what changes seldom: every package from the lock, by hash. Nothing is compiled.
# The extras are in it: traces, cloud identities in the place of keys, and rate limits that replicas share.
COPY requirements.lock requirements-extras.lock requirements-build.lock ./
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --require-hashes -r requirements.lock -r requirements-extras.lock
RUN python -m venv /opt/backend && /opt/backend/bin/pip install --require-hashes -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
COPY gateway gateway
COPY sbom sbom
RUN /opt/backend/bin/pip wheel --no-build-isolation --no-deps --wheel-dir dist . \
 && /opt/venv/bin/pip install --no-deps dist/*.whl


FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Understudy" \
      org.opencontainers.image.description="An OpenAI-compatible gateway that keeps answering when your fine-tuned model is gone." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

# The same ids as the chart's podSecurityContext.
RUN groupadd --gid 10001 understudy \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin understudy \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/understudy \
 && install -d /etc/understudy
COPY --from=build /opt/venv /opt/venv

# Keys are never in an image: without GATEWAY_ADMIN_KEY, and GATEWAY_KEY or GATEWAY_KEY_PEPPER, it refuses to listen.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_PORT=8080 \
    GATEWAY_ROUTES_FILE=/etc/understudy/routes.yaml \
    GATEWAY_DATABASE_URL=sqlite:////var/lib/understudy/gateway.db \
    GATEWAY_JOURNAL_DIR=/var/lib/understudy/journal
WORKDIR /var/lib/understudy
USER 10001:10001
EXPOSE 8080

# For engines that look: Kubernetes has the chart's probes instead.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['GATEWAY_PORT']}/healthz\", timeout=2)"]

# SIGTERM reaches the gateway itself: there is no shell between.
ENTRYPOINT ["gateway"]
CMD ["serve"]
