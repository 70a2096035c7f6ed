# One image for every service of compose.yaml: the servers and the workers must agree on versions.
FROM python:3.12-slim

WORKDIR /switchyard
RUN useradd --create-home --uid 10001 switchyard && pip install --no-cache-dir uv
COPY requirements.lock requirements-dev.lock ./
# Several Prefect servers talk through Redis; one alone does not need it, so the lock leaves it out.
RUN uv pip sync --system --require-hashes requirements.lock \
    && uv pip install --system --constraints requirements-dev.lock prefect-redis
COPY . .
RUN uv pip install --system --no-deps --editable .
USER switchyard
ENV SWITCHYARD_HOME=/home/switchyard PYTHONUNBUFFERED=1
ENTRYPOINT []
CMD ["switchyard", "--help"]
