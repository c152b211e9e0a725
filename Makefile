# Two commands do everything from a fresh clone: `make demo` and `make test`.
# They need Python 3.11 or newer, make and git; the network is used to install packages, for nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/stamps
PEERS  := .venv-peers
CREWAI := .venv-crewai
LOOP_PEERS := .venv-loop-peers
ADAPTER_VENVS := .venv-adapters

# What a test run may be given: make test ARGS="tests/house -k sorted"
ARGS ?=

# What `make test-quick` leaves out, by CPU seconds: whatever starts processes (crash, torture, bench, cli, the examples
# of the documentation, three files of the journal), loads real clients (models, wire, recording), or reads the source
# (house), and one long random search (whole runs).
SLOW := crash torture bench cli house adapters/test_together.py adapters/test_openai_agents.py adapters/test_openai_agents_frames.py \
    adapters/test_openai_agents_holds.py adapters/test_openai_agents_wire.py adapters/test_mcp_attacks.py adapters/test_mcp_http.py adapters/test_mcp_pins.py \
    adapters/test_mcp_proxy.py adapters/test_mcp_proxy_process.py adapters/test_mcp_tools.py adapters/test_versions.py docs/test_examples.py effects/test_attacks.py effects/test_deciding.py \
    effects/test_faults.py effects/test_kill_points.py effects/test_once.py effects/test_tampering.py guards/endpoints/test_wire.py journal/test_disk_faults.py \
    journal/test_machine.py journal/test_processes.py memory/test_kill_points.py models/test_finish_markers.py \
    models/test_history.py models/test_provider_classes.py models/test_providers.py models/test_received_protocols.py models/test_resolve.py runtime/foreign/test_process_ends.py runtime/test_whole_runs.py testing/test_recording.py

# What lives in .venv.
EXTRAS := $(foreach each,providers modelserver prices schema lint mcp openai-agents pydantic-ai langchain langgraph,--extra $(each))

# `make test-adapters` runs the tests of these adapters beside their framework alone, at the lowest version that its extra
# allows; `make test-venv` runs them at the newest. A framework that can't live in .venv has its tests in tests/apart, in a
# folder of its name with underscores, and runs at both.
ADAPTERS_IN_VENV := langchain langgraph mcp openai-agents pydantic-ai
ADAPTERS_APART   := $(sort $(subst _,-,$(patsubst tests/apart/%/,%,$(dir $(wildcard tests/apart/*/test_*.py)))))
# Where the lowest version is the newest, too, .venv has run the whole of it: what is left to see is that the extra is enough.
TESTS_langchain     := tests/adapters/test_langchain*.py
TESTS_langgraph     := tests/adapters/test_langgraph*.py
TESTS_mcp           := tests/adapters/test_mcp_rules.py tests/adapters/test_mcp_tools.py
TESTS_openai-agents := tests/adapters/test_openai_agents.py
TESTS_pydantic-ai   := tests/adapters/test_pydantic_ai.py
TESTS_crewai-lowest := $(filter-out %crash.py,$(wildcard tests/apart/crewai/test_*.py))

# What these tests use and the framework's extra does not bring.
WITH_langchain   := --group test
WITH_langgraph   := --group test
WITH_pydantic-ai := --extra openai
WITH_agent-framework := --group agent-framework

# What is installed for framework $1, beside Seawall.
adapter_parts = pyproject.toml --extra $1 --extra modelserver --group pytest $(WITH_$1)
# The framework of environment $1: of langchain-lowest it is langchain.
framework_of = $(patsubst %-lowest,%,$(patsubst %-newest,%,$1))
tests_of     = $(or $(TESTS_$1),tests/apart/$(subst -,_,$1))

# Whether the lowest and the newest environment of framework $1 hold the same.
is_one = $(shell cmp -s tests/apart/constraints-$1.txt tests/apart/constraints-$1-lowest.txt && echo yes)
# The lowest CrewAI brings a chromadb that can't be imported on Python 3.14. CrewAI itself allows Python below 3.14 only.
LEFT_OUT := $(shell $(PYTHON) -c 'import sys; sys.version_info >= (3, 14) and print("crewai-lowest")' 2> /dev/null)

# Which of them to run: make test-adapters ADAPTERS="langchain-lowest mcp-lowest". Those that take longest come first.
ADAPTERS ?= $(filter-out $(LEFT_OUT),$(foreach each,$(ADAPTERS_APART),$(if $(call is_one,$(each)),,$(each)-lowest) $(each)-newest) $(ADAPTERS_IN_VENV:%=%-lowest))

# How many processes work at once: one more than there are processors, because a test often waits for a process, for the
# time, or for what is installed.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# Makes several things beside each other. What each of them prints comes in one piece.
AT_ONCE = $(MAKE) --no-print-directory --jobs=$(WORKERS) $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

# Programs in bench/, in the order in which `make bench` runs them.
BENCHES ?= limit growth peers adapters conversation_growth limits_peers conversations conversations_adapters redaction loops loops_hard deadline storm effects context drift memory lint authority

INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -b constraints.txt
INPUTS  = pyproject.toml constraints.txt

PIN     = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(STAMP)/run ## The main job, with scripted models: no key, no server
	$(BIN)/seawall demo

.PHONY: test test-venv
test: test-venv $(if $(ARGS),,test-adapters) ## All tests, in random order and in parallel

test-venv: $(STAMP)/test ## The same without test-adapters
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: test-quick
test-quick: $(STAMP)/test ## What fits into 40 s on two cores, for daily work; make test runs the rest too
	@for each in $(SLOW); do test -e tests/$$each || { echo "SLOW names tests/$$each, which is not there" >&2; exit 1; }; done
	$(BIN)/python -m pytest -n auto $(SLOW:%=--ignore=tests/%) $(ARGS)

.PHONY: test-adapters $(ADAPTERS:%=test-%)
test-adapters: $(BIN)/uv ## Each adapter at the lowest and the newest version of its framework; make test runs them too
	@$(if $(LEFT_OUT),echo "== $(LEFT_OUT) is left out on $$($(PYTHON) -V)" >&2)
	@$(AT_ONCE) $(ADAPTERS:%=test-%)

# In one process each: they run beside each other, and a framework takes longer to import than its tests to run.
$(ADAPTERS:%=test-%): test-%: $(ADAPTER_VENVS)/%/made
	@echo "== $*" >&2
	@$(ADAPTER_VENVS)/$*/bin/python -m pytest -q -n 0 $(or $(TESTS_$*),$(call tests_of,$(call framework_of,$*))) $(ARGS)

.PHONY: test-kill
test-kill: $(STAMP)/test ## The kill points alone: workers that die at any write and any call; make test runs them too
	$(BIN)/python -m pytest -n $(WORKERS) tests/crash $(ARGS)

# How long `make torture` goes on, and what makes it do the same again: make torture SECONDS=3600 SEED=1042
SECONDS ?= 60
SEED ?=

.PHONY: torture
torture: $(STAMP)/test ## Random kills, stops and disk faults for SECONDS, checked against a world of its own; SEED repeats one
	cd tests && ../$(BIN)/python -m torture --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

CHECKS := check-types check-format check-lint check-snippets check-imports check-dependencies check-changelog

.PHONY: check $(CHECKS)
check: $(STAMP)/check ## Format, lint, types (also of the first pages' code), import direction, dependencies, changelog; each also alone: check-types
	@$(AT_ONCE) $(CHECKS)

check-format: $(STAMP)/check
	$(BIN)/ruff format --quiet --diff

check-lint: $(STAMP)/check
	$(BIN)/ruff check

# Of adapters whose framework can't live in .venv, tests/apart/NAME.json says what is checked beside it.
TYPES_APART := $(patsubst tests/apart/%.json,check-types-%,$(wildcard tests/apart/*.json))
check-types: check-types-venv $(TYPES_APART)

.PHONY: check-types-venv $(TYPES_APART)
check-types-venv: $(STAMP)/check
	$(BIN)/pyright

$(TYPES_APART): check-types-%: $(STAMP)/check $(ADAPTER_VENVS)/%-newest/made
	$(BIN)/pyright -p tests/apart/$*.json

check-snippets: $(STAMP)/check
	$(BIN)/python tools/check_snippets.py

check-imports: $(STAMP)/check
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/import_circles.py

check-dependencies: $(STAMP)/check
	$(BIN)/deptry src

check-changelog: $(STAMP)/check
	$(BIN)/towncrier build --draft --version next > /dev/null

.PHONY: format
format: $(STAMP)/check ## Format the code and fix what can be fixed safely
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

.PHONY: bench
bench: $(STAMP)/test $(STAMP)/peers $(if $(filter limits_peers,$(BENCHES)),$(STAMP)/crewai) $(if $(filter loops loops_hard,$(BENCHES)),$(STAMP)/loop-peers) ## Every benchmark, next to other frameworks; BENCHES="growth limit" for some
	@set -e; for name in $(BENCHES); do \
	    python=$(PEERS)/bin/python; case $$name in loops|loops_hard) python=$(LOOP_PEERS)/bin/python;; esac; \
	    echo "== $$python bench/$$name.py" >&2; $$python "bench/$$name.py"; \
	done

.PHONY: docs
docs: $(STAMP)/docs ## Generate the reference and build the site into site/
	$(BIN)/python tools/reference.py
	$(BIN)/zensical build --clean --strict

.PHONY: constraints
constraints: $(BIN)/uv $(ADAPTERS_APART:%=pin-%) $(ADAPTERS_IN_VENV:%=pin-%-lowest) $(ADAPTERS_APART:%=pin-%-lowest) ## Pin anew the versions that everything above installs
	$(PIN) $(EXTRAS) --group test --group check --group docs --group setup pyproject.toml -o constraints.txt
	$(PIN) $(EXTRAS) --group peers -c constraints.txt pyproject.toml -o bench/constraints.txt
	$(PIN) --group crewai -o bench/constraints-crewai.txt
	$(PIN) $(EXTRAS) --group loop-peers pyproject.toml -o bench/constraints-loop-peers.txt

# The pins of one environment alone: make pin-langchain-lowest
pin-%-lowest: $(BIN)/uv
	$(BIN)/python tools/lowest_versions.py $* | $(PIN) $(call adapter_parts,$*) - -o tests/apart/constraints-$*-lowest.txt

pin-%: $(BIN)/uv
	$(PIN) $(call adapter_parts,$*) -o tests/apart/constraints-$*.txt

.PHONY: clean
clean: ## Remove what was built; the repository stays
	rm -rf $(VENV) $(PEERS) $(CREWAI) $(LOOP_PEERS) $(ADAPTER_VENVS) build dist site .pytest_cache .ruff_cache .hypothesis .import_linter_cache .cache
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +

# -- environments ---------------------------------------------------------------------------------

$(BIN)/uv:
	@command -v $(PYTHON) > /dev/null || { \
	    echo "Seawall needs Python 3.11 or newer, and '$(PYTHON)' was not found." >&2; \
	    echo "Name another one:  make <target> PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Seawall needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)." >&2; \
	    echo "Name another one:  make <target> PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' comes without venv or ensurepip; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

$(STAMP)/run: $(INPUTS) | $(BIN)/uv
	$(INSTALL) -e .
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/test: $(INPUTS) | $(BIN)/uv
	$(INSTALL) -r pyproject.toml $(EXTRAS) -e . --group test
	@mkdir -p $(STAMP) && touch $@ $(STAMP)/run

$(STAMP)/check: $(INPUTS) | $(BIN)/uv
	$(INSTALL) -r pyproject.toml $(EXTRAS) -e . --group test --group check
	@mkdir -p $(STAMP) && touch $@ $(STAMP)/run $(STAMP)/test

$(STAMP)/docs: $(INPUTS) | $(BIN)/uv
	$(INSTALL) -e '.[modelserver]' --group docs
	@mkdir -p $(STAMP) && touch $@ $(STAMP)/run

$(STAMP)/peers: pyproject.toml bench/constraints.txt | $(BIN)/uv
	$(BIN)/python -m venv $(PEERS)
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python -c bench/constraints.txt -e '.[providers,modelserver,schema,lint,langchain,langgraph,openai-agents,pydantic-ai]' --group peers
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/crewai: pyproject.toml bench/constraints-crewai.txt | $(BIN)/uv
	$(BIN)/python -m venv $(CREWAI)
	$(BIN)/uv pip install --quiet --python $(CREWAI)/bin/python -c bench/constraints-crewai.txt --group crewai
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/loop-peers: pyproject.toml bench/constraints-loop-peers.txt | $(BIN)/uv
	$(BIN)/python -m venv $(LOOP_PEERS)
	$(BIN)/uv pip install --quiet --python $(LOOP_PEERS)/bin/python -c bench/constraints-loop-peers.txt -e '.[schema]' --group loop-peers
	@mkdir -p $(STAMP) && touch $@

define make_adapter_environment
$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
$(BIN)/uv pip install --quiet --python $(@D)/bin/python -c $(word 2,$^) -b constraints.txt -r $(call adapter_parts,$*) -e .
@touch $@
endef

$(ADAPTER_VENVS)/%-lowest/made: pyproject.toml tests/apart/constraints-%-lowest.txt | $(BIN)/uv
	$(make_adapter_environment)

$(ADAPTER_VENVS)/%-newest/made: pyproject.toml tests/apart/constraints-%.txt | $(BIN)/uv
	$(make_adapter_environment)

tests/apart/constraints-%.txt:
	@echo "$@ is not there; make pin-$* writes it" >&2; exit 1
