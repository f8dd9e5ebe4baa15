# Each target makes its own environment first: only `make` and a Python with
# venv are assumed. `make` alone says what there is.

DATA ?= $(or $(CONVAE_DATA),mnist)
PYTHONS ?= python3 python3.13 python3.12 python3.11
# The first of them that runs and fits. TensorFlow has no wheels past 3.13.
SUITABLE = import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in $(PYTHONS); do \
	"$$python" -c "$(SUITABLE)" 2>/dev/null && echo "$$python" && break; done)

# The stamp is laid last, so that half an environment is not taken for one; its
# name changes with the folder, since an environment cannot be moved.
STAMP := .venv/made-for-$(shell pwd | cksum | cut -d " " -f 1)

TF_CPP_MIN_LOG_LEVEL ?= 2
export TF_CPP_MIN_LOG_LEVEL

.PHONY: help run test lab reproduce pretrained clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: $(STAMP)  ## train the reference model and show what it learnt (DATA=mnist, or a folder of images)
	.venv/bin/convae train --data "$(DATA)" --preset reference --out runs/reference

test: $(STAMP)  ## every check: style, module, both backends, notebooks
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	KERAS_BACKEND=tensorflow .venv/bin/pytest
	KERAS_BACKEND=jax .venv/bin/pytest -m "not static"
	CONVAE_DATA=mnist5k CONVAE_FAST=1 .venv/bin/pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=300 notebooks $(wildcard exercises)

lab: $(STAMP)  ## the course, in JupyterLab
	.venv/bin/jupyter lab notebooks

reproduce: $(STAMP)  ## every number of the results table, made again and compared
	.venv/bin/python results/reproduce.py

pretrained: $(STAMP)  ## train the models that ship with the package again
	.venv/bin/convae train --data "$(DATA)" --preset reference --epochs 20 --out runs/pretrained/reference
	.venv/bin/convae train --data photographs --task denoise --epochs 30 --out runs/pretrained/denoiser
	.venv/bin/convae train --data photographs --color grey --task denoise --epochs 30 --out runs/pretrained/denoiser_grey
	.venv/bin/convae train --data photographs --color grey --task super-resolution --scale 2 --epochs 16 --out runs/pretrained/enlarger_x2
	.venv/bin/convae train --data photographs --color grey --task super-resolution --scale 3 --epochs 24 --out runs/pretrained/enlarger_x3
	.venv/bin/convae train --data "$(DATA)" --task compress --epochs 30 --out runs/pretrained/digits
	.venv/bin/convae train --data photographs --task compress --epochs 40 --out runs/pretrained/photographs
	for name in reference denoiser denoiser_grey enlarger_x2 enlarger_x3 digits photographs; do .venv/bin/python -c "from convae_keras.shipped import ship; ship('runs/pretrained/$$name', '$$name')"; done

clean:  ## remove the environment and the caches; runs/ stays
	rm -rf .venv build .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

$(STAMP): requirements.txt pyproject.toml
	@"$(PYTHON)" -c "$(SUITABLE)" 2>/dev/null || { \
		echo "This needs Python 3.11, 3.12 or 3.13 with venv (on Debian: python3-venv)." >&2; \
		echo "Tried: $(or $(PYTHON),$(PYTHONS)). Name another: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; }
	@echo "Making .venv with $$("$(PYTHON)" --version), once: a few minutes."
	"$(PYTHON)" -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch "$@"
