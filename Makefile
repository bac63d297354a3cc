# What a person types. `make` alone explains itself.
SHELL := /bin/bash
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run demo test future rigs soak check bench lock sbom schema readers screenshots clean
# What was compiled for one run serves the next: a tenth of the time of the tests.
unexport PYTHONDONTWRITEBYTECODE

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run:  ## Set up, then start the gateway on 127.0.0.1:8080 with the sandbox provider on 127.0.0.1:8081
	@python3 scripts/bootstrap.py
	@$(PY) -m gateway serve --with-sandbox

demo:  ## Set up, then see a fine-tune be deprecated, ramped over and die, in two minutes
	@python3 scripts/bootstrap.py
	@$(PY) -m gateway demo

test:  ## Set up, then run unit tests and stories (≤ 5 minutes)
	@python3 scripts/bootstrap.py --dev
	@$(PY) -m pytest -n auto -m "not rig and not soak"

future:  ## The same tests with the clock in 2028, when every date that ships has passed
	@python3 scripts/bootstrap.py --dev
	@UNDERSTUDY_DAYS_AHEAD=500 PYTHONPATH=$(CURDIR)/tests/time_machine:$(CURDIR) $(PY) -m pytest -n auto -m "not rig and not soak"

rigs:  ## The slower rigs: real servers, faults, an installed wheel
	@python3 scripts/bootstrap.py --dev
	@$(PY) -m pytest --timeout=600 -o faulthandler_timeout=660 -m "rig and not soak"

readers:  ## Set up what reads exported data sets as trainers do (.venv-readers), for the rigs
	@test -x .venv-readers/ready || { python3 -m venv .venv-readers && .venv-readers/bin/pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements-readers.lock && install -m 755 /dev/null .venv-readers/ready; }

soak:  ## The long form of the rigs, with the same assertions
	@python3 scripts/bootstrap.py --dev
	@UNDERSTUDY_SOAK=1 $(PY) -m pytest --timeout=0 -o faulthandler_timeout=0 -m "rig or soak"

check:  ## Format, lint, types, import contracts, routes.yaml, tests
	@python3 scripts/bootstrap.py --dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache
	$(PY) -m gateway check routes.yaml
	$(MAKE) test

bench:  ## Measure against nginx, TensorZero, Portkey and LiteLLM, in one run
	@python3 scripts/bootstrap.py --dev
	@$(PY) benchmarks/run.py

lock:  ## Resolve the locks anew (needs uv)
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 --extra azure --extra google --extra otel --extra redis -c requirements-dev.lock $$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) pyproject.toml -o requirements-extras.lock
	echo "datasets" | uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 - -o requirements-readers.lock
	echo "hatchling>=1.28" | uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 -c requirements-dev.lock - -o requirements-build.lock
	$(PY) scripts/sbom.py

sbom:  ## Write the bill of materials from the locks
	@$(PY) scripts/sbom.py

schema:  ## Write what is generated: JSON Schema, routes.reference.yaml, the table of metrics, the dashboards
	@$(PY) -m gateway.config.reference
	@$(PY) -m gateway.cli.metrics_reference
	@$(PY) scripts/dashboards.py

screenshots:  ## Draw docs/images anew from the pages as they are (needs chromium)
	@python3 scripts/bootstrap.py --dev
	@$(PY) tests/screenshots.py

clean:  ## Remove the environment and what tests left behind
	rm -rf .venv .venv-readers .mypy_cache .ruff_cache .hypothesis state
