# The menu. Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
TOOLS := $(VENV)/.set-up-tools
DEPLOY := $(VENV)/.set-up-deploy
HASHED := --quiet --generate-hashes --universal --python-version 3.11 --constraint constraints.txt --no-emit-index-url \
  --no-annotate --custom-compile-command 'make constraints'
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: help setup demo check quick test lint format statistics faults fuzz audit bench docs picture proto constraints sbom image manifests clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(TOOLS) ## create .venv with the pinned versions, when it is missing or out of date

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(f"Tamiz needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot create virtual environments. On Debian or Ubuntu: apt install $(notdir $(PYTHON))-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "Setting up $(VENV) (once; about a minute) …"
	@$(PIP) '.[cli,server,convert]'
	@touch $(STAMP)

$(TOOLS): $(STAMP)
	@echo "Adding what tests and checks need, PyTorch among it (once; some minutes) …"
	@$(PIP) '.[dev]'
	@touch $(TOOLS)

$(DEPLOY): $(STAMP)
	@$(PIP) '.[deploy]'
	@touch $(DEPLOY)

demo: $(STAMP) ## export, serve, ask and observe two real models (KEEP=1 leaves the server running)
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

check: $(TOOLS) ## lint and the quick tests side by side, in less than two minutes
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target lint quick

quick: $(TOOLS) ## run the tests that start no process and train few models, of all rooms
	$(BIN)/python -m pytest --quick -n 2 $(ARGS)

test: $(TOOLS) ## run all tests (ARGS="-k gate" for some)
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(TOOLS) ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(TOOLS) ## let ruff format and mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

statistics: $(TOOLS) ## draw ten times as many certificates from populations whose truth is known, and compare their power
	TAMIZ_RESAMPLES=20000 $(BIN)/python -m pytest tests/statistics -n auto $(ARGS)
	$(BIN)/python -m docs.power 200

faults: export TAMIZ_FAULTS := whole
faults: export TAMIZ_FAULTS_RECORD := build/faults
faults: $(TOOLS) ## do everything to the server that docs/reliability.md lists, as often, and renew that page (an hour, as root)
	rm -rf build/faults
	$(BIN)/python -m pytest tests/faults/test_overload.py
	$(BIN)/python -m pytest tests/faults --ignore tests/faults/test_overload.py -n 2
	$(BIN)/python docs/reliability.py build/faults

fuzz: $(TOOLS) ## fuzz the parsers of bytes from outside (SECONDS=600 for each, TARGET="predict infer" for some)
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(TARGET)
	@mkdir -p build/fuzz/families
	$(if $(TARGET),,$(BIN)/python -m tests.fuzz.families build/fuzz/families && \
	  $(BIN)/python -m tests.fuzz.rows build/fuzz/families --rounds 500)

audit: ## ask the public database for known weaknesses of the pinned versions (needs access to it)
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet pip-audit
	build/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

bench: $(STAMP) ## throughput and latency against a null server, in one run (needs h2load)
	@$(BIN)/python -m benchmarks

docs: $(TOOLS) ## renew the parts of docs/ that come from the code: settings, metrics, models
	@$(BIN)/python -m docs.tables

picture: $(TOOLS) ## renew the README's picture of a report (needs chromium)
	@$(BIN)/python -m demo
	@$(BIN)/python -m docs.picture

proto: $(TOOLS) ## generate the Python code of the contract
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=proto --pyi_out=proto proto/tamiz/v1/*.proto
	$(BIN)/python -m grpc_tools.protoc -Iproto --pyi_out=proto --descriptor_set_out=proto/tamiz/oip/inference.binpb \
	  proto/tamiz/oip/inference.proto
	mv proto/tamiz/oip/inference_pb2.pyi proto/tamiz/oip/inference.pyi

constraints: ## renew the image's packages with their hashes, deploy/requirements/, from constraints.txt (needs an index)
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --quiet uv
	build/constraints/bin/uv pip compile pyproject.toml --extra server --extra fast --extra signing --extra jwt \
	  --output-file deploy/requirements/image.txt $(HASHED)
	echo 'hatchling>=1.27' | build/constraints/bin/uv pip compile - --output-file deploy/requirements/build.txt $(HASHED)

sbom: $(DEPLOY) ## write build/sbom.json, the image's packages as CycloneDX
	@mkdir -p build
	@$(BIN)/cyclonedx-py requirements deploy/requirements/image.txt --pyproject pyproject.toml --output-reproducible \
	  --output-format JSON --output-file build/sbom.json 2>build/sbom.log || { cat build/sbom.log >&2; exit 1; }

image: sbom ## build the container image and its SBOM (docker, podman or buildah; ARGS="NAME:TAG --build-arg BASE=…")
	@deploy/build_image.sh $(ARGS)

manifests: $(DEPLOY) ## renew the generated files in deploy/ (RUNBOOKS=https://… for your docs/operations.md)
	@$(if $(RUNBOOKS),$(BIN)/python -m deploy.runbooks '$(RUNBOOKS)')
	@$(BIN)/python deploy/kubernetes/generate.py
	@$(BIN)/python -m deploy.grafana

clean: ## remove what was generated
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
