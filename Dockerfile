# syntax=docker/dockerfile:1

# Python as the tests run on it, by version; put your registry's digest behind it (name:tag@sha256:...) to pin the bytes.
ARG PYTHON=python:3.11.14-slim-trixie

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/build.txt requirements/image.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/tokhub \
    && /opt/build/bin/pip --python /opt/tokhub/bin/python install --quiet --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY cli cli
COPY deploy deploy
COPY libs libs
COPY protos protos
COPY sandbox sandbox
COPY services services
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index -w dist . \
    && /opt/build/bin/pip --python /opt/tokhub/bin/python install --quiet --no-deps --no-index dist/tokhub-*.whl

FROM ${PYTHON}
ENV PATH=/opt/tokhub/bin:$PATH \
    HOME=/var/lib/tokhub \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Volumes take over the owner of the directory that they are mounted on; root writes nothing at run time.
RUN install -d -m 0700 -o 10001 -g 10001 /run/tokhub /var/lib/tokhub /var/lib/tokhub/authority \
    /var/lib/tokhub/handed/gateway /var/lib/tokhub/handed/grafana /var/lib/tokhub/handed/operator /var/lib/tokhub/handed/postgres \
    /var/lib/tokhub/handed/readers /var/lib/tokhub/handed/sandbox /var/lib/tokhub/handed/sync /var/lib/tokhub/handed/token
COPY --from=build /opt/tokhub /opt/tokhub
USER 10001:10001
WORKDIR /var/lib/tokhub
# HEALTH_URL says where this container's process listens; what listens nowhere needs no check.
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s --retries=3 CMD ["python", "-m", "deploy.probe"]
CMD ["tokhub", "--help"]
