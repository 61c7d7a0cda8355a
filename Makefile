# One command for each thing one does with this checkout; `make` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 9100
RUN_ARGS ?= --demo
JOBS ?= 5

BIN := .venv/bin
VENV := .venv/.made
NPM_SERVERS := tests/servers/npm/node_modules/.made
DUAL_SERVER := tests/servers/dual/node_modules/.made
CONFORMANCE := tests/servers/conformance-npm/node_modules/.made
PYPI_SERVERS := build/pypi-servers/.made
NPM_CLIENTS := tests/clients/npm/node_modules/.made
PYPI_CLIENTS := build/clients-pypi/.made
NPM_REMOTES := tests/remotes/npm/node_modules/.made
NPM_BROWSER := tests/browser/npm/node_modules/.made
PYPI_REMOTES := build/remotes-pypi/.made

# Those that mostly wait begin with the longest ones, which would else be waited for at the end.  Each is named: pytest
# leaves out a file of a folder that is named too.
LONGEST := $(wildcard $(addprefix tests/functional/test_,lifecycle_commands.py client_file_crashes.py conformance.py attacks.py outliving.py chaos.py restart.py remote.py shim.py running.py))
FUNCTIONAL := -m "not soak" $(LONGEST) $(filter-out $(LONGEST),$(sort $(wildcard tests/functional/test_*.py))) tests/contracts

# Hundreds of processes import the same modules, which are compiled once.
unexport PYTHONDONTWRITEBYTECODE

UNIT := $(addprefix --ignore=tests/,bench clients remotes browser functional contracts) tests
# The unit tests as two processes, each of which collects its half only.  pytest-xdist has every process collect all of
# them and hands out each by itself, a sixth of the time of tests this short.
OUTER := $(addprefix tests/,clientfiles frontends cli config)
PYTEST := $(BIN)/python -m pytest --quiet

.DEFAULT_GOAL := help
.PHONY: help venv servers run test tests lint structure roads types imports unit unit-outer unit-inner coverage functional soak conformance test-clients test-remotes test-browser bench pictures docs package clean format

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(VENV) ## make .venv with the package (editable) and everything for working on it

# Twisted imports all plugins to list them for the first time; what comes later reads the list.
$(VENV): setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/twistd --help >/dev/null
	touch $@

servers: $(NPM_SERVERS) $(DUAL_SERVER) $(CONFORMANCE) $(PYPI_SERVERS) ## install what functional tests run: real MCP servers, and the conformance suite

$(NPM_SERVERS) $(DUAL_SERVER) $(CONFORMANCE): %/node_modules/.made: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	touch $@

# In a virtual environment of their own: the servers and the client that drives them need different versions of mcp.
$(PYPI_SERVERS): tests/servers/pypi-requirements.txt
	test -x build/pypi-servers/bin/python || $(PYTHON) -m venv build/pypi-servers
	build/pypi-servers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

run: $(VENV) ## serve ~/.claude.json and two demo servers on http://localhost:9100 (PORT=... for another)
	exec $(BIN)/twistd -n --pidfile= mcpgateway --port $(PORT) $(RUN_ARGS)

# Tests that wait for processes leave time for all that computes, one after the other, beside them.
test: $(VENV) servers ## everything that must hold before a change lands
	$(MAKE) --jobs=2 --output-sync=target functional lint types docs package unit-outer unit-inner

lint: $(VENV) ## formatting, ruff, import contracts, docstrings, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet mcpgateway
	$(BIN)/codespell mcpgateway tests docs tap twisted README.md CONTRIBUTING.md Makefile setup.cfg pyproject.toml

format: $(VENV) ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

structure: $(VENV) ## cycles of imports, large files and folders, doubled names; source lines of each folder
	$(BIN)/python -m tests.house.structure

roads: $(VENV) ## the modules that a call crosses, for each kind of client, endpoint and server
	$(BIN)/python -m tests.house.roads

types: $(VENV) ## mypy, strict
	$(BIN)/mypy

tests: $(VENV) servers ## the unit and the functional tests
	$(MAKE) --jobs=2 --output-sync=target functional unit-outer unit-inner

# What each of the processes that run tests would have to compile for itself.
compiled = mkdir -p build && { $(PYTEST) --collect-only $1 >build/collected-$@.log || { tail -50 build/collected-$@.log; exit 1; }; }

unit: $(VENV) ## unit and property tests; no sockets, no servers
	$(MAKE) --jobs=2 --output-sync=target unit-outer unit-inner

unit-outer: $(VENV)
	$(PYTEST) $(OUTER)

unit-inner: $(VENV)
	$(PYTEST) $(UNIT) $(addprefix --ignore=,$(OUTER))

# Apart from the others, since watching every branch takes two and a half times as long.
coverage: $(VENV) ## the unit tests under branch coverage
	mkdir -p build
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --quiet --numprocesses=auto $(UNIT)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

functional: $(VENV) servers ## real sockets, real processes, real MCP servers
	$(call compiled,$(FUNCTIONAL))
	$(PYTEST) --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(FUNCTIONAL)

soak: $(VENV) servers ## the long form of the functional and of the property tests
	MCPGATEWAY_SOAK=1 $(PYTEST) --numprocesses=auto --dist=worksteal $(UNIT)
	MCPGATEWAY_SOAK=1 $(PYTEST) tests/functional

# The everyday tests run a part of it. With ARGS='--help' it says how to have less.
conformance: $(VENV) servers ## both official suites, one by one, both ways, at servers alone and through the gateway
	$(BIN)/python -m tests.conformance $(ARGS)

test-clients: $(VENV) servers $(NPM_CLIENTS) $(PYPI_CLIENTS) ## real MCP clients, all at once; installs 1.5 GB on first use
	$(BIN)/python -m pytest tests/clients

test-remotes: $(VENV) servers $(NPM_REMOTES) $(PYPI_REMOTES) ## signing in and APIs, with what others have made; installs 450 MB on first use
	$(BIN)/python -m pytest --numprocesses=2 tests/remotes

test-browser: $(VENV) $(NPM_BROWSER) ## hostile pages, and the documentation, in a real Chromium, which apt-get installs
	command -v chromium >/dev/null || apt-get install --yes --no-install-recommends chromium
	$(BIN)/python -m pytest tests/browser

# Without the packages' own scripts: the native programs are started directly, and nothing has to be built.
$(NPM_CLIENTS) $(NPM_REMOTES) $(NPM_BROWSER): %/node_modules/.made: %/package.json %/package-lock.json
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Each version in a virtual environment of its own, named as tests/clients/libraries.py looks for it.
$(PYPI_CLIENTS): tests/clients/pypi/requirements.txt
	for client in $$(cat $<); do \
		folder=build/clients-pypi/$$(echo $$client | sed s/==/-/); \
		test -x $$folder/bin/python || $(PYTHON) -m venv $$folder || exit 1; \
		$$folder/bin/python -m pip install --quiet --disable-pip-version-check $$client || exit 1; \
	done
	touch $@

$(PYPI_REMOTES): tests/remotes/requirements.txt
	test -x build/remotes-pypi/bin/python || $(PYTHON) -m venv build/remotes-pypi
	build/remotes-pypi/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench: $(VENV) ## measure the gateway beside others and beside the floor (not a test)
	$(BIN)/python -m tests.bench

pictures: $(VENV) servers ## draw mcpgateway status for README and the docs
	$(BIN)/python docs/pictures/status.py

docs: $(VENV) ## build the documentation; any warning is an error
	$(BIN)/python -m sphinx -q -W -n -b html docs build/docs

package: $(VENV) ## build sdist and wheel, check them, install the wheel and see that twistd lists us
	rm -rf dist build/wheel-venv
	$(BIN)/python -m build --no-isolation --outdir dist . >build/package.log 2>&1 || { cat build/package.log; exit 1; }
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv --without-pip build/wheel-venv
	$(BIN)/python -m pip --python build/wheel-venv/bin/python install --quiet --no-compile --disable-pip-version-check dist/*.whl
	cd build && wheel-venv/bin/python -c "from mcpgateway.system import package_data as data; assert data.recipes() and data.topics()"
	tar -tzf dist/*.tar.gz | grep "/mcpgateway/data/recipes.json" >/dev/null
	cd build && wheel-venv/bin/twistd --help | grep "mcpgateway  *Share one set" >/dev/null
	cd build && wheel-venv/bin/twist --help | grep "mcpgateway  *Share one set" >/dev/null

clean: ## remove everything that was made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf tests/servers/npm/node_modules tests/servers/dual/node_modules tests/servers/conformance-npm/node_modules
	rm -rf tests/clients/npm/node_modules tests/remotes/npm/node_modules tests/browser/npm/node_modules docs/_build
