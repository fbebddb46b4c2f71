# thaw: `make quickstart` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tested set of versions; CONSTRAINTS= takes whatever the ranges in pyproject.toml allow.
CONSTRAINTS ?= constraints.txt
# uv takes minutes less, where it is installed.
UV := $(shell command -v uv 2>/dev/null)
PIP_INSTALL := $(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check) \
  -q $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

# A process a core; files stay whole, for their tests share runs.
PYTEST ?= -n auto --dist loadfile
# The study's budget; `make study epochs=20 data=mnist_5k` is one for two CPU cores.
epochs ?= 100
data ?= mnist
device ?= auto
seeds ?= 0
study ?= study
overrides ?=
EXPERIMENTS := ddpm_gelu_1000,ddpm_selu_100,columns_random,columns_outside_in,columns_inside_out,columns_by_4_random,rows_random,rows_by_4_random

# What is swept in families, each with what belongs to it. Of degradations one of each kind: decolour
# needs colours, paired pairs, and the other orders of averaging are the study's. A DDPM takes back its
# noise as the hybrids do; the cold ones have samplers of their own.
DEGRADATIONS := \
  'degradation=gaussian prediction=clean,noise schedule=cosine,linear sampler=ddim_25' \
  'degradation=row_noise,column_noise sampler=ddim_25' \
  'degradation=column_random,column_shuffled,row_random,row_last_to_first,blur,blur_linear,blur_exponential,inpaint,inpaint_random,pixelate,fade,zoom,snow,animorph'
PATHS := \
  'degradation=gaussian schedule=cosine prediction=velocity,clean sampler=ddim_25' \
  'degradation=gaussian schedule=flow prediction=flow objective/timesteps=logit_normal sampler=ddim_25' \
  'degradation=gaussian schedule=edm prediction=edm objective/timesteps=log_normal sampler=ddim_25' \
  'degradation=row_noise,column_noise sampler=ddim_25' \
  'degradation=blur_noise degradation.blur_to_noise=0,0.5,1 sampler=ddim_25' \
  'degradation=blur_noise degradation.blur_to_noise=2 prior=empirical sampler=ddim_25' \
  'degradation=heat' \
  'degradation=row_last_to_first,row_random,column_random,blur,pixelate,inpaint' \
  'degradation=bridge degradation/to=row_random,blur,pixelate,inpaint'
degradations paths: seeds = 0,1,2

# $(call families,NAME,FAMILIES): runs whose x_T shows something start from real training images,
# which is an upper reference, and are evaluated from each fitted prior too.
define families
set -e; for family in $(2); \
do $(BIN)/python train.py -m sweep.name=$(1) experiment=$(1) seed=$(seeds) $$family \
  trainer.accelerator=$(device) $(overrides); done
$(BIN)/python evaluate.py -m runs=multirun/$(1) prior=gaussian,gmm,kde num_samples=1000 num_restored=0
$(BIN)/python report.py runs=multirun/$(1) title='All $(1) at one budget'
endef

.PHONY: help install quickstart study degradations paths test test-all lint check docs site bench bundle clean
help:
	@echo "make quickstart   set up and train a small cold-diffusion model (about 5 minutes)"
	@echo "make study        the whole study and its report; epochs=100 data=mnist device=auto seeds=0"
	@echo "                  study=NAME overrides='...'; again: goes on where it stopped"
	@echo "make degradations every degradation at one budget, three seeds, and the report"
	@echo "make paths        every path between image and noise at one budget, three seeds, and the report"
	@echo "make test         set up and run the tests;  make test-all: the slow ones too"
	@echo "make check        ruff, mypy, import contracts, tests"
	@echo "make docs         rewrite docs/configuration.md and docs/gallery.md from conf/"
	@echo "make site         the documentation as a site, build/site/index.html"
	@echo "make bundle       build/bundle for a machine with a GPU and no network (docs/gpu.md)"
	@echo "make bench        the benchmarks, half an hour: ratios measured within one run"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "thaw needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing into $(VENV): several minutes the first time (PyTorch is large)"
	$(PIP_INSTALL) -e .
	@$(BIN)/python -c 'import torch, torchvision, torchmetrics' || \
	  { echo "torch and torchvision do not match: remove $(VENV) and install the pair named in constraints.txt"; exit 2; }
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[test]'
	@touch $@

$(VENV)/.installed-site: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[site]'
	@touch $@

install: $(VENV)/.installed

quickstart: $(VENV)/.installed
	$(BIN)/python train.py experiment=quickstart

study: $(VENV)/.installed
	$(BIN)/python train.py -m sweep.name=$(study) experiment=$(EXPERIMENTS) seed=$(seeds) \
	  data=$(data) trainer.max_epochs=$(epochs) trainer.accelerator=$(device) $(overrides)
	$(BIN)/python report.py runs=multirun/$(study) title='Diffusion on MNIST, hot and cold'

degradations: $(VENV)/.installed
	$(call families,degradations,$(DEGRADATIONS))

paths: $(VENV)/.installed
	$(call families,paths,$(PATHS))
	$(BIN)/python docs/draw_paths.py multirun/paths multirun/paths/paths.png

# $(call timed,PART,COMMAND): `make check` says at its end how long each part took.
timed = @echo '$(2)'; start=$$(date +%s); $(2) && \
  printf '%-28s %5d s\n' '$(1)' $$(( $$(date +%s) - start )) >$(VENV)/.time-$(firstword $(1))

test: $(VENV)/.installed-test
	$(call timed,tests,$(BIN)/python -m pytest $(PYTEST))

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST) -m "slow or not slow"

lint: $(VENV)/.installed-test
	$(call timed,ruff,$(BIN)/ruff check . && $(BIN)/ruff format --check .)
	$(call timed,mypy,$(BIN)/mypy)
	$(call timed,imports,$(BIN)/lint-imports)
	$(call timed,configuration reference,$(BIN)/python docs/generate_configuration.py --check)

check: lint test
	@cat $(foreach part,ruff mypy imports configuration tests,$(VENV)/.time-$(part))

docs: $(VENV)/.installed-test
	$(BIN)/python docs/generate_configuration.py
	$(BIN)/python docs/generate_gallery.py
	$(BIN)/python docs/generate_notebooks.py

# Without Material's advice to move on.
site: $(VENV)/.installed-site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/training_step.py degradation=column_random
	$(BIN)/python benchmarks/training_step.py model.hidden=[2] model.kernel_size=3 data.batch_size=8
	$(BIN)/python benchmarks/variants.py
	$(BIN)/python benchmarks/step_profile.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/many_runs.py
	$(BIN)/python benchmarks/degradations.py

bundle: | $(BIN)/python
	PYTHON=$(BIN)/python bundle/pack.sh

clean:
	rm -rf $(VENV)
