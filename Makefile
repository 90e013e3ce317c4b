# "make run" and "make test" each work as the first command on a fresh machine; "make help" lists the others.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
SIZE ?= full
FUZZ_S ?= 600
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --max-worker-restart 0
CODE := src tests sample_dicom

.DEFAULT_GOAL := help
.PHONY: help install viewer run demo test test-stock test-postgres test-s3 fuzz test-deps check crash format lint types floors conformance bench bench-scale bench-scale-postgres citations clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(RUNTIME) ## Install the node into .venv

viewer: $(RUNTIME) ## Fetch the OHIF viewer for /viewer/, if npm is there and it has not been fetched
	@$(BIN)/python -m relais.ui.viewer

run: viewer ## Start the node on loopback, with the sample instances if its archive is empty
	$(BIN)/relais serve --samples sample_dicom

demo: viewer ## Start two nodes that know each other, NORTH and SOUTH, each with the samples of one hospital
	@$(BIN)/relais serve --config conf/demo/south.toml --samples sample_dicom/val_dorme & south=$$!; \
	trap 'kill $$south 2>/dev/null; wait $$south' EXIT; \
	$(BIN)/relais serve --config conf/demo/north.toml --samples sample_dicom/rivemont

test: $(DEV) test-deps viewer ## Run all tests, in two processes
	$(PYTEST)

test-stock: $(DEV) test-deps ## Run the DIMSE tests on pynetdicom's own threads (dimse.engine = "stock")
	RELAIS_DIMSE__ENGINE=stock $(BIN)/pytest tests/conformance/test_ps3_[478]*.py tests/contract/test_peer.py

test-postgres: $(DEV) test-deps ## Run all tests of what has an index on PostgreSQL
	RELAIS_TEST_INDEX=postgresql $(PYTEST)

test-s3: $(DEV) test-deps ## Run all tests of what has a store with the objects in a real S3 store
	RELAIS_TEST_STORE=s3 $(PYTEST)

fuzz: $(DEV) ## Send the DIMSE door and the reader of Data Sets nonsense, FUZZ_S seconds each (600)
	RELAIS_FUZZ_S=$(FUZZ_S) $(BIN)/pytest -o faulthandler_timeout=$$(($(FUZZ_S) + 600)) -k whatever_comes \
		tests/conformance/test_ps3_8_upper_layer.py tests/unit/dicom/test_header.py

test-deps: ## Install the programs that the tests compare with (Debian and Ubuntu)
	@.ci/apt storescu=dcmtk gdcminfo=libgdcm-tools strace=strace Orthanc=orthanc \
		/usr/share/orthanc/plugins/libOrthancDicomWeb.so=orthanc-dicomweb chromium=chromium \
		/usr/lib/python3/dist-packages/swift/__init__.py=python3-swift pg_createcluster=postgresql \
		haproxy=haproxy

check: lint types floors test ## What has to pass before a change goes in

crash: $(DEV) test-deps ## Run the long tests of crashes, power cuts, full disks and crowds (a quarter of an hour)
	$(BIN)/pytest -m slow -o faulthandler_timeout=3600

format: $(DEV) ## Lay out the code
	$(BIN)/ruff check --fix-only --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

lint: $(DEV) ## Look for mistakes and for code that is not laid out
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(DEV) ## Check the types
	$(BIN)/mypy

floors: $(DEV) ## Check that imports only go down
	$(BIN)/lint-imports

bench: $(DEV) test-deps ## Measure beside DCMTK, Orthanc and nginx: all, or with PARTS="store find" and SIZE=quick less of it
	PYTHONPATH=tests $(BIN)/python -m bench $(PARTS) --size $(SIZE)

bench-scale: $(DEV) ## Measure searches and ingest at 10,000 and at 980,000 studies (the first time half an hour, 10 GB of disk)
	PYTHONPATH=tests $(BIN)/python -m bench.scale

bench-scale-postgres: $(DEV) test-deps ## The same on PostgreSQL beside SQLite, at 980,000 studies
	PYTHONPATH=tests $(BIN)/python -m bench.scale_postgres

conformance: $(RUNTIME) ## Write the conformance statement of the default configuration into docs/
	$(BIN)/relais conformance --config conf/relais.toml > docs/conformance.md

citations: $(DEV) ## List every clause of the DICOM standard that is cited, with its places
	$(BIN)/python tests/docs/citations.py

clean: ## Remove what was built and cached; the data and .venv stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find src tests sample_dicom -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || .ci/apt python3=python3 ensurepip=python3-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Relais needs Python 3.11 or newer; name it with "make PYTHON=/path/to/python3 ...".' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/apt ensurepip=python3-venv
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): pyproject.toml | $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
