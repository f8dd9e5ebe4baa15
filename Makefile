# Each target makes its own environment first: only `make` and a Python with
# venv are assumed. `make` alone lists the targets.

DATA ?= $(or $(CONVAE_DATA),mnist)
MODE ?= lesson
PORT ?= 8000
PYTHONS ?= python3 python3.13 python3.12 python3.11
# The first of them that runs and fits. TensorFlow has no wheels past 3.13.
SUITABLE = import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in $(PYTHONS); do \
	"$$python" -c "$(SUITABLE)" 2>/dev/null && echo "$$python" && break; done)

# An environment's stamp is written last, so that half an environment is not
# used; its name changes with the folder, since an environment cannot be moved.
STAMP := made-for-$(shell pwd | cksum | cut -d " " -f 1)
# The lower bound of every dependency.
OLDEST = $(shell sed -n 's/^ *"\{0,1\}\([a-z0-9-]*\)>=\([0-9.]*\),<.*/\1==\2/p' pyproject.toml requirements.txt)

TF_CPP_MIN_LOG_LEVEL ?= 2
export TF_CPP_MIN_LOG_LEVEL

# Two processes of one thread each are faster than one process of two threads:
# `make test` runs its jobs side by side, the longest first.
PROCESSES ?= 2
PARALLEL = -n $(PROCESSES) --dist worksteal
JOBS = notebooks-half module module-jax notebooks exercises browser module-half style
TESTS = test test-half check test-oldest test-torch
$(TESTS): export TF_NUM_INTRAOP_THREADS = 1
$(TESTS): export TF_NUM_INTEROP_THREADS = 1
$(TESTS): export OMP_NUM_THREADS = 1
$(TESTS): export NPROC = 1
# What pytest compiles is kept, whatever the user's own habit.
$(TESTS): export PYTHONDONTWRITEBYTECODE =
# One job more than processes, since those of notebooks also wait; each job's output
# in one piece, where `make` can.
TOGETHER = $(MAKE) --no-print-directory --jobs $(shell expr $(PROCESSES) + 1) \
	$(if $(filter output-sync,$(.FEATURES)),--output-sync)
# Only Linux can fork a process that has loaded so much.
FORKED = $(if $(filter Linux,$(shell uname -s)),-p forked_kernels)
NOTEBOOKS = CONVAE_DATA=mnist5k CONVAE_FAST=1 PYTHONPATH=tests .venv/bin/pytest \
	$(FORKED) --nbval-lax --nbval-current-env --nbval-cell-timeout=600

.PHONY: help run bench browser browser-course page site stamp audit check test test-half test-oldest test-torch lab students course-runs time reproduce pretrained clean $(JOBS)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

run: .venv/$(STAMP)  ## train the reference model and show its results (DATA=mnist, or a folder of images)
	.venv/bin/convae train --data "$(DATA)" --preset reference --out runs/reference

check: .venv/$(STAMP) style  ## the quick checks: style, imports, most tests
	.venv/bin/pytest $(PARALLEL) -m "not slow"

test: .venv/$(STAMP)  ## style, imports, notebooks, the tests on two backends and in half precision
	$(TOGETHER) $(JOBS)

test-half: .venv/$(STAMP)  ## the tests and the notebooks in half precision
	$(TOGETHER) notebooks-half module-half

style: .venv/$(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports --no-cache
	.venv/bin/deptry .

# The browser has a job of its own.
module: export CONVAE_BROWSER =
module: .venv/$(STAMP)
	.venv/bin/pytest

# Most of JAX's time is compilation: it optimizes little, and keeps what it compiled.
# Without the newer emitters of fused loops it compiles in two thirds of the time.
module-jax: export KERAS_BACKEND = jax
module-jax: export JAX_DISABLE_MOST_OPTIMIZATIONS = 1
module-jax: export XLA_FLAGS = --xla_cpu_use_fusion_emitters=false
module-jax: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/.jax_cache
module-jax: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
module-jax: .venv/$(STAMP)
	.venv/bin/pytest -m "not static"

# On some CPUs oneDNN trains up to ten times slower in float16 than TensorFlow without it.
%-half: export CONVAE_HALF = 1
%-half: export TF_ENABLE_ONEDNN_OPTS = 0
module-half: .venv/$(STAMP)
	.venv/bin/pytest -m "not static and not float32"

notebooks notebooks-half: .venv/$(STAMP)
	$(NOTEBOOKS) notebooks

exercises: .venv/$(STAMP)
	$(NOTEBOOKS) exercises

test-oldest: .venv-oldest/$(STAMP)  ## the tests with the oldest supported version of every dependency
	.venv-oldest/bin/pytest $(PARALLEL)

test-torch: .venv-torch/$(STAMP)  ## the tests on the PyTorch backend
	KERAS_BACKEND=torch .venv-torch/bin/pytest $(PARALLEL) -m "not static"

lab: .venv/$(STAMP)  ## the course, in JupyterLab
	.venv/bin/jupyter lab notebooks/01_training.ipynb

page: .venv/$(STAMP)  ## the playground as a page, in build/playground, served on this machine (PORT=8000)
	.venv/bin/python docs/playground/build.py
	.venv/bin/python -m http.server --bind 127.0.0.1 --directory build/playground $(PORT)

# What is unclear to Sphinx is an error. Without npm, or a network, the playground is left out.
site: .venv-tools/$(STAMP)  ## the README, the course and the reference as a site, in build/site
	.venv/bin/python docs/playground/build.py || echo "The site will be without the playground."
	rm -rf docs/api build/site
	.venv-tools/bin/python -m sphinx -W --keep-going -q -c docs/site -d build/doctrees . build/site
	@echo "build/site/index.html"

stamp:  ## write the address and version of pyproject.toml into badges, links and install cells
	"$(PYTHON)" tools/stamp.py

audit: .venv-tools/$(STAMP)  ## known vulnerabilities and licenses of all installed packages
	.venv-tools/bin/python tools/audit.py .venv/bin/python

# Needs Chromium, and says so where there is none. Screenshots: build/browser.
browser: export CONVAE_BROWSER := $(or $(CONVAE_BROWSER),1)
browser: .venv/$(STAMP)  ## the page, and notebooks in JupyterLab, in a real browser
	.venv/bin/pytest tests/browser

students: .venv/$(STAMP)  ## copies of the notebooks without outputs, in build/students
	.venv/bin/jupyter nbconvert --ClearOutputPreprocessor.enabled=True --to notebook \
		--log-level WARN --output-dir build/students notebooks/*.ipynb

browser-course: .venv/$(STAMP)  ## every notebook as a lesson, in a real browser: more than an hour
	CONVAE_BROWSER=course .venv/bin/pytest tests/browser/test_notebooks.py

course-runs: .venv/$(STAMP)  ## train those of the finished runs in results/runs that are missing
	.venv/bin/python results/course_runs.py

time: .venv/$(STAMP)  ## the minutes that each notebook takes (MODE=check, lesson or full)
	.venv/bin/python results/time_notebooks.py $(MODE)

bench: .venv/$(STAMP)  ## how fast networks train, and why (results/benchmarks.json); with nothing else running
	.venv/bin/python benchmarks/speed.py
	.venv/bin/python benchmarks/time_to_loss.py
	.venv/bin/python benchmarks/tricks.py
	.venv/bin/python benchmarks/ceilings.py
	.venv/bin/python benchmarks/files.py
	.venv/bin/python benchmarks/exported.py

# Side by side, but for notebook 13, which measures time; then all are compared. A
# notebook that is done is not executed again, so the same command resumes.
NUMBERS = $(patsubst notebooks/%,%,$(basename $(wildcard notebooks/[01][0-9]_*.ipynb)))
reproduce: .venv/$(STAMP)  ## measure the recorded numbers again, in full runs of all notebooks, and compare
	$(MAKE) --no-print-directory --keep-going --jobs $(PROCESSES) \
		$(addprefix reproduce-,$(filter-out 13_%,$(NUMBERS)))
	.venv/bin/python results/reproduce.py

reproduce-%: export TF_NUM_INTRAOP_THREADS = 1
reproduce-%: export TF_NUM_INTEROP_THREADS = 1
reproduce-%: export OMP_NUM_THREADS = 1
reproduce-%:
	@.venv/bin/python results/reproduce.py $(firstword $(subst _, ,$*)) | grep ' s$$' || true

pretrained: .venv/$(STAMP)  ## train the models that ship with the package again
	.venv/bin/convae train --data "$(DATA)" --preset reference --epochs 20 --out runs/pretrained/reference
	.venv/bin/convae train --data photographs --task denoise --loss psnr --epochs 90 --out runs/pretrained/denoiser
	.venv/bin/convae train --data photographs --color grayscale --task denoise --epochs 30 --out runs/pretrained/denoiser_grey
	.venv/bin/convae train --data photographs --color grayscale --task super-resolution --scale 2 --epochs 16 --out runs/pretrained/enlarger_x2
	.venv/bin/convae train --data photographs --color grayscale --task super-resolution --scale 3 --epochs 24 --out runs/pretrained/enlarger_x3
	.venv/bin/convae train --data "$(DATA)" --task compress --epochs 30 --out runs/pretrained/digits
	CONVAE_DATA="$(DATA)" .venv/bin/python results/generation_runs.py classifier runs/pretrained/classifier
	.venv/bin/python results/build_pretrained.py $(foreach name,reference denoiser denoiser_grey enlarger_x2 enlarger_x3 digits classifier,runs/pretrained/$(name) $(name))
	CONVAE_DATA="$(DATA)" .venv/bin/python results/generation_runs.py generator runs/pretrained/generator
	.venv/bin/python results/build_pretrained.py runs/pretrained/generator generator

clean:  ## remove the environments and the caches; runs/ stays
	rm -rf .venv .venv-oldest .venv-torch .venv-tools build docs/api .pytest_cache .ruff_cache .jax_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

.venv-oldest/$(STAMP): ALSO = $(OLDEST)
.venv-torch/$(STAMP): ALSO = torch==2.13.0
# Where .venv is a link, `venv --clear` would empty the folder that it points at.
.venv/$(STAMP) .venv-oldest/$(STAMP) .venv-torch/$(STAMP): requirements.txt pyproject.toml
	@"$(PYTHON)" -c "$(SUITABLE)" 2>/dev/null || { \
		echo "This needs Python 3.11, 3.12 or 3.13 with venv (on Debian: python3-venv)." >&2; \
		echo "Tried: $(or $(PYTHON),$(PYTHONS)). Name another: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; }
	@echo "Making $(@D) with $$("$(PYTHON)" --version), once: a few minutes."
	rm -rf $(@D)
	"$(PYTHON)" -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt $(ALSO)
	@touch "$@"

# Apart from .venv, so that who runs the course does not install a site generator, and
# an audit of .venv does not find its own tools. Sphinx imports the module to read its
# docstrings: what the module needs comes from .venv, after these packages.
PACKAGES = import sysconfig; print(sysconfig.get_path("purelib"))
.venv-tools/$(STAMP): .venv/$(STAMP) requirements-tools.txt
	rm -rf $(@D)
	.venv/bin/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-tools.txt
	.venv/bin/python -c '$(PACKAGES)' > "$$($(@D)/bin/python -c '$(PACKAGES)')/course.pth"
	@touch "$@"
