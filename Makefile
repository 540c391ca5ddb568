# One command each: serve, test, check. `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# The real client of the WhisperLive protocol, without its server's dependencies (torch, …).
WHISPER_LIVE_CLIENT := whisper-live==0.10.0

# OpenAI's own Node client and the Vercel AI SDK, if Node is installed.
NODE_CLIENTS := npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund --loglevel=error

# axe and the checks of the page's modules, if Node is installed; the page itself needs no tools.
PAGE_TOOLS := npm ci --prefix tests/web --ignore-scripts --no-audit --no-fund --loglevel=error

# The tests of a file share a process, since they share servers; tests/conftest.py orders the files.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The program that builds the image; podman works as well.
ENGINE := docker

.PHONY: help install install-test install-browser real-models serve test test-crash test-wheel test-parity \
	format-page image image-test docs lint types soak check clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(VENV)/.runtime ## create .venv with the pinned runtime dependencies and the command `whisperlive`

install-test: $(VENV)/.test ## add what the tests need

$(BIN)/python:
	python3 -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.runtime tests/node/package-lock.json tests/web/package-lock.json
	$(PIP) --editable '.[test,openvino,otel]'
	$(PIP) --no-deps $(WHISPER_LIVE_CLIENT)
	$(NODE_CLIENTS) || echo "No Node clients: their tests will be skipped."
	$(PAGE_TOOLS) || echo "No tools for the page: some of its tests will be skipped."
	touch $@

serve: install ## download the model base once (148 MB) and start the server; FASTERWHISPER_MODEL names another
	$(BIN)/whisperlive serve

real-models: install ## download the real models that tests/real uses (226 MB)
	$(BIN)/whisperlive models pull base tiny.en

test: install-test ## run every test but the slow ones, a process for each core
	$(BIN)/pytest $(PARALLEL)

test-crash: install-test ## kill a server twenty times in the middle of a job
	$(BIN)/pytest -m crash

test-wheel: install-test ## build the package, install it in an empty environment and serve
	$(BIN)/pytest -m wheel

test-parity: install-test ## compare real speech with faster-whisper (4 minutes)
	$(BIN)/pytest -m parity -s

install-browser: ## install Debian's Chromium, in which the web page is tested (requires root)
	@test "$$(id -u)" = 0 || { echo "Run as root: apt-get install --yes chromium"; exit 1; }
	apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends chromium

format-page: install-test ## format the page's modules as the tests require
	cd tests/web && node_modules/.bin/prettier --log-level=warn --config .prettierrc.json --write \
		'../../src/whisperlive_hybrid/server/web/**/*.{js,css,html}' \
		'!../../src/whisperlive_hybrid/server/web/vendor/**' 'logic/*.mjs'

image-test: install-test ## build the container image and run it (requires root, buildah, podman)
	$(BIN)/pytest -m image -s tests/image

image: ## build the container image with docker, or with another ENGINE; MODEL=base builds a model in
	$(ENGINE) build --tag whisperlive --build-arg MODEL="$(MODEL)" --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg VERSION=$$(sed -n 's/__version__ = "\(.*\)"/\1/p' src/whisperlive_hybrid/__init__.py) .

docs: install ## write docs/settings.md from config.py
	$(BIN)/whisperlive settings --markdown > docs/settings.md

lint: install-test ## format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml

types: install-test ## mypy --strict
	$(BIN)/mypy

soak: install-test ## use a server in random ways for SOAK_S seconds (3600); SOAK_SEED repeats a run
	SOAK_S=$(or $(SOAK_S),3600) $(BIN)/pytest -m soak -s

check: lint types test test-crash test-wheel test-parity ## everything that CI runs
	SOAK_S=120 $(MAKE) soak

clean: ## remove the virtual environment and the caches
	rm -rf $(VENV) tests/node/node_modules tests/web/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
