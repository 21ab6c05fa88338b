# Each target sets up all that it needs, in a virtual environment of its own.

PYTHON ?= python3
IMAGE ?=
# Arguments for pytest, such as  ARGS='-x tests/test_image.py'
ARGS ?=
# Pythons to try the lean installation with.
PYTHONS ?= $(PYTHON)

VENV ?= .venv
LEAN_VENV ?= .venv-lean
CONTRACT_VENV ?= .venv-contract
FUZZ_VENV ?= .venv-fuzz
LOWEST_VENV ?= .venv-lowest
# Files that each fuzzer tries.
RUNS ?= 2000

.PHONY: help caption test contract lowest fuzz lint format lean test-devices readme clean
export IMAGE

help:
	@echo 'make caption [IMAGE=photo.jpg]   caption a photo, or a drawn scene, without TensorFlow'
	@echo 'make test [ARGS=...]             all tests, with TensorFlow (Python 3.10 to 3.13)'
	@echo 'make contract [ARGS=...]         the tests that need no TensorFlow, where there is none'
	@echo 'make lowest [ARGS=...]           the same with the oldest versions allowed (Python 3.10 to 3.12)'
	@echo 'make fuzz [RUNS=...]             fuzz photos and bundles (Linux)'
	@echo 'make lint                        ruff and mypy'
	@echo 'make format                      let ruff mend what it can'
	@echo 'make lean [PYTHONS=...]          try the built wheel where nothing else is installed'
	@echo 'make test-devices [ARGS=...]     every target, emulated or resolved, against x86'
	@echo 'make readme                      renew what README.md shows of --help'
	@echo 'make clean                       remove the environments'
	@echo
	@echo 'PYTHON=python3.12 chooses the Python.'

# Those that import no TensorFlow.
CONTRACT_TESTS = $$(grep -LE '^ *(import|from) (edgecap_converter|tensorflow)' tests/test_*.py)

# Nothing but the caption goes to standard output.
caption: $(LEAN_VENV)/ready $(LEAN_VENV)/scene.jpg
	@[ -n "$$IMAGE" ] || echo 'captioning a drawn scene; choose a photo with  IMAGE=photo.jpg' >&2
	@$(LEAN_VENV)/bin/edgecap caption -- "$${IMAGE:-$(LEAN_VENV)/scene.jpg}"

test: $(VENV)/ready
	@$(VENV)/bin/python -m pytest $(ARGS)

contract: $(CONTRACT_VENV)/ready
	@$(CONTRACT_VENV)/bin/python -m pytest $(ARGS) $(CONTRACT_TESTS)

lowest: $(LOWEST_VENV)/ready
	@$(LOWEST_VENV)/bin/python -m pytest $(ARGS) $(CONTRACT_TESTS)

fuzz: $(FUZZ_VENV)/ready
	@for target in bundle photo; do \
		$(FUZZ_VENV)/bin/python tests/fuzzing/fuzz.py $$target --runs $(RUNS) || exit; \
	done

lint: $(VENV)/ready
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@for platform in win32 darwin; do \
		$(VENV)/bin/mypy --platform $$platform -p edgecap -p edgecap_runtime -p edgecap_bench || exit; \
	done

format: $(VENV)/ready
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format

lean:
	$(call check_python,14)
	@$(PYTHON) tests/lean_install.py $(PYTHONS)

# Needs photos and Debian's apt; see tests/devices/__main__.py.
test-devices: $(LEAN_VENV)/ready
	@$(LEAN_VENV)/bin/python tests/devices $(foreach python,$(PYTHONS),--python $(python)) $(ARGS)

readme: $(VENV)/ready
	@$(VENV)/bin/python tests/readme_help.py

clean:
	rm -rf $(VENV) $(LEAN_VENV) $(CONTRACT_VENV) $(LOWEST_VENV) $(FUZZ_VENV)

$(LEAN_VENV)/ready: pyproject.toml
	$(call check_python,14)
	$(call install,$(LEAN_VENV))

$(CONTRACT_VENV)/ready: EXTRAS = [bench,cluster,watch,dev]
$(CONTRACT_VENV)/ready: pyproject.toml
	$(call check_python,14)
	$(call install,$(CONTRACT_VENV))

# numpy 1.26 has no wheels for later Pythons than 3.12.
$(LOWEST_VENV)/ready: EXTRAS = [bench,watch,dev]
$(LOWEST_VENV)/ready: pyproject.toml tests/lowest_versions.py
	$(call check_python,12)
	@echo 'setting up $(LOWEST_VENV)' >&2
	@$(PYTHON) -m venv $(LOWEST_VENV) >&2
	@$(LOWEST_VENV)/bin/python -m pip --quiet install packaging tomli >&2
	@$(LOWEST_VENV)/bin/python tests/lowest_versions.py > $(LOWEST_VENV)/constraints.txt
	@$(LOWEST_VENV)/bin/python -m pip install --constraint $(LOWEST_VENV)/constraints.txt --editable '.$(EXTRAS)' >&2
	@touch $@

$(FUZZ_VENV)/ready: EXTRAS = [fuzz]
$(FUZZ_VENV)/ready: pyproject.toml
	$(call check_python,13)
	$(call install,$(FUZZ_VENV))

# TensorFlow has no wheels for later Pythons.
$(VENV)/ready: EXTRAS = [convert,bench,cluster,watch,dev]
$(VENV)/ready: pyproject.toml
	$(call check_python,13)
	$(call install,$(VENV))

$(LEAN_VENV)/scene.jpg: tests/draw_scene.py $(LEAN_VENV)/ready
	@$(LEAN_VENV)/bin/python tests/draw_scene.py $@

# $(call check_python,NEWEST): Python 3.10 to 3.NEWEST, able to make virtual environments.
define check_python
@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $(1)))' 2>/dev/null || \
	{ echo 'edgecap: $(PYTHON) is not a Python 3.10 to 3.$(1): install one and name it, such as  PYTHON=python3.12' >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo 'edgecap: $(PYTHON) cannot make virtual environments: run  sudo apt install python3-venv' >&2; exit 1; }
endef

# $(call install,FOLDER): the source tree itself with EXTRAS, so that edits need no new install.
define install
@echo 'setting up $(1)' >&2
@$(PYTHON) -m venv $(1) >&2
@$(1)/bin/python -m pip install --editable '.$(EXTRAS)' >&2
@touch $@
endef
