# Perennial on one machine: `make demo` does everything, `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# If the locale is not installed, Python cannot read non-ASCII paths.
export LC_ALL := C.UTF-8
# The modules of another checkout must not come before those of this one.
unexport PYTHONPATH PYTHONHOME
# uv trusts only the authorities that it brings along. Like pip, it shall trust those of the machine, such as a proxy's.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),true,false)

VAR := $(if $(PERENNIAL_VAR),$(PERENNIAL_VAR),var)
STACK := .venv/bin/python -m stack

# The first Python 3.11 on the PATH, as a real path: a venv from a version manager's shim breaks when the manager switches versions.
FIND_PYTHON = for one in $(if $(PYTHON),"$(PYTHON)") python3.11 python3 python; do \
	"$$one" -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit(1); print(sys.executable)' 2>/dev/null && break; done || true
REQUIRE_PYTHON = [ -n "$$python" ] || { echo "✗ Python 3.11 is not on the PATH. Install it (Debian: apt-get install python3.11-venv), or name it: make setup PYTHON=/path/to/python3.11"; exit 1; }

# The name of a stamp contains the checksum of its inputs, so that nothing is installed twice and no change is missed.
key = $(shell cat $(1) | cksum | cut -d' ' -f1)
UV_STAMP := .uv/.locked-$(call key,requirements/uv.lock)
VENV_STAMP := .venv/.locked-$(call key,requirements/airflow.lock requirements/dev.lock pyproject.toml)
SPARK_STAMP := .spark/.locked-$(call key,requirements/spark.lock)
MANIFESTS_STAMP := .manifests/.locked-$(call key,requirements/manifests.lock)
TORCH_LOCK := include/images/trainer/requirements-torch.lock
TORCH_STAMP := .torch/.locked-$(call key,$(TORCH_LOCK))
BENCH_STAMP := .bench/.locked-$(call key,requirements/airflow.lock requirements/bench.lock pyproject.toml)

# Runs a recipe line, and prints its name and duration.
timed = @echo "▸ $(1)"; begin=$$(date +%s); $(2); echo "✓ $(1): $$(( $$(date +%s) - begin )) s"

# Four workers keep two cores busy: many tests wait for a process or a timeout.
BESIDE := --numprocesses 4 --dist loadfile

# Without this variable, the theme announces its successor at each build.
BUILD_DOCS := env NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

LOCKS := $(foreach name,airflow dev spark uv manifests bench,requirements/$(name).lock) $(foreach name,server/requirements trainer/requirements trainer/requirements-gpu trainer/requirements-torch,include/images/$(name).lock)
# The Dockerfiles name their base image by its digest. Another one, such as a copy in your own registry: make images PERENNIAL_BASE_IMAGE=…
PERENNIAL_BASE_IMAGE ?=
# With PERENNIAL_TORCH=1, the Airflow image has PyTorch, for trainings of the family pytorch in the containers of compose (5.7 GB).
PERENNIAL_TORCH ?=
# The tag is the checksum of the image's sources, so that a node that has the image does not ask a registry again.
IMAGE_TAG := $(shell { find include/perennial include/stack include/images plugins dags requirements/*.lock -type f -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 cat; printf '%s' '$(PERENNIAL_BASE_IMAGE)$(PERENNIAL_TORCH)'; } | cksum | cut -d' ' -f1)
SERVER_IMAGE = perennial-server:$(IMAGE_TAG)
TRAINER_IMAGE = perennial-trainer:$(IMAGE_TAG)
FAULTY_IMAGE = perennial-server-faulty:$(IMAGE_TAG)
REVISION = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

.PHONY: help setup torch up down status clean coverage distclean doctor docs lint lint-manifests format test test-fast test-unit test-parts test-stack test-start test-kubernetes test-compose bench-serving bench-models bench-classes bench-candidates bench-scale bench-history chaos-history fuzz demo images image-server image-trainer image-trainer-torch image-spark image-airflow compose-up compose-down settings-page lock audit sbom

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

setup: ## Install everything into .venv and .spark (takes a second if nothing changed)
	@python=$$(.venv/bin/python -I -c 'import sys; print(sys.executable)' 2>/dev/null || $(FIND_PYTHON)); $(REQUIRE_PYTHON); \
	"$$python" -I include/stack/machine.py; \
	begin=$$(date +%s); stamps="$(UV_STAMP) $(VENV_STAMP) $(SPARK_STAMP) $(if $(wildcard .torch),$(TORCH_STAMP))"; \
	ls $$stamps >/dev/null 2>&1 && fresh=false || fresh=true; \
	$(MAKE) --silent $$stamps; $(STACK) prepare; \
	seconds=$$(( $$(date +%s) - begin )); echo "✓ Set-up: $$seconds s"; \
	if $$fresh; then mkdir -p "$(VAR)"; echo "$$seconds" > "$(VAR)/setup_seconds"; fi

$(UV_STAMP): requirements/uv.lock
	@python=$$($(FIND_PYTHON)); \
	$(REQUIRE_PYTHON); \
	echo "▸ Fetching uv with $$python"; rm -rf .uv; \
	"$$python" -m venv .uv || { echo "✗ $$python cannot make a virtual environment. Debian: apt-get install python3.11-venv"; exit 1; }; \
	.uv/bin/python -m pip install --quiet --no-deps --require-hashes --only-binary :all: -r requirements/uv.lock; \
	touch $@

$(VENV_STAMP): $(UV_STAMP)
	$(call timed,Installing the control plane into .venv (about 3 GB),\
	[ -x .venv/bin/python ] || .uv/bin/uv venv --quiet --python "$$(.uv/bin/python -c 'import sys; print(sys._base_executable)')" .venv; \
	.uv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python requirements/airflow.lock requirements/dev.lock; \
	.uv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .; \
	rm -f .venv/.locked-*; touch $@)

$(SPARK_STAMP): $(UV_STAMP)
	$(call timed,Installing Spark into .spark (about 0.9 GB),\
	[ -x .spark/bin/python ] || .uv/bin/uv venv --quiet --python "$$(.uv/bin/python -c 'import sys; print(sys._base_executable)')" .spark; \
	.uv/bin/uv pip sync --quiet --require-hashes --python .spark/bin/python requirements/spark.lock; \
	rm -f .spark/.locked-*; touch $@)

torch: setup $(TORCH_STAMP) ## Install PyTorch into .torch, for candidates of the family pytorch (about 5.7 GB); from then on, setup keeps it up to date

$(TORCH_STAMP): $(UV_STAMP)
	$(call timed,Installing PyTorch into .torch (about 5.7 GB),\
	[ -x .torch/bin/python ] || .uv/bin/uv venv --quiet --python "$$(.uv/bin/python -c 'import sys; print(sys._base_executable)')" .torch; \
	.uv/bin/uv pip sync --quiet --require-hashes --python .torch/bin/python $(TORCH_LOCK); \
	rm -f .torch/.locked-*; touch $@)

up: setup ## Start the embedded stack: S3, PostgreSQL, metastore, Airflow, model servers (ONLY=s3,postgres starts only these)
	@$(STACK) up $(if $(ONLY),--only "$(ONLY)")

down: ## Stop the stack; data is kept
	@if [ -x .venv/bin/python ]; then $(STACK) down $(if $(filter up,$(MAKECMDGOALS)),--restart); else echo "Nothing is installed, so nothing runs."; fi

status: setup ## Show the state of every service and pipeline
	@$(STACK) status || true
	@.venv/bin/perennial status || true

doctor: setup ## Show the problems that would keep the stack from starting, each with its fix
	@$(STACK) doctor

clean: ## Stop the stack and remove its data; the environments stay
	@if [ -x .venv/bin/python ]; then $(STACK) clean; else echo "Nothing is installed, so there is no data."; fi

distclean: clean ## Do the same, and remove the environments, too
	$(call timed,Removing .venv .spark .torch .uv .manifests .bench,rm -rf .venv .spark .torch .uv .manifests .bench include/perennial.sources.json)

lint: setup ## Check style, types, the direction of imports and the documentation; .pre-commit-config.yaml runs the same
	$(call timed,ruff check,.venv/bin/ruff check .)
	$(call timed,ruff format,.venv/bin/ruff format --check .)
	$(call timed,mypy,.venv/bin/mypy)
	$(call timed,import contracts,.venv/bin/lint-imports --no-cache)
	$(call timed,documentation,$(BUILD_DOCS))

docs: setup ## Build the documentation into var/site, and check each of its links and images
	$(call timed,documentation,$(BUILD_DOCS))
	@echo "  To read it: .venv/bin/python -m http.server --bind 127.0.0.1 --directory var/site 8000"

lint-manifests: setup $(MANIFESTS_STAMP) ## Check the Dockerfiles and all manifests that are applied to a cluster
	$(call timed,hadolint,.manifests/bin/hadolint include/images/*/Dockerfile)
	@mkdir -p "$(VAR)/manifests"; PYTHONPATH=include .venv/bin/python tests/support/render_manifests.py > "$(VAR)/manifests/rendered.yaml"; cp include/deploy/namespaces.yaml include/deploy/training.yaml include/deploy/serving.yaml "$(VAR)/manifests/"
	$(call timed,checkov,.manifests/bin/checkov --config-file include/deploy/checkov.yaml --directory "$(VAR)/manifests" --directory include/images)

$(MANIFESTS_STAMP): $(UV_STAMP)
	$(call timed,Installing checkov and hadolint into .manifests,\
	[ -x .manifests/bin/python ] || .uv/bin/uv venv --quiet --python "$$(.uv/bin/python -c 'import sys; print(sys._base_executable)')" .manifests; \
	.uv/bin/uv pip sync --quiet --require-hashes --python .manifests/bin/python requirements/manifests.lock; \
	rm -f .manifests/.locked-*; touch $@)

format: setup ## Format the code and fix what can be fixed
	$(call timed,ruff,.venv/bin/ruff check --fix . ; .venv/bin/ruff format .)

test-fast: setup ## Run the pure unit tests: no object store, no Spark, no TensorFlow, no stack (20 seconds)
	$(call timed,Pure tests,.venv/bin/python -m pytest --numprocesses 2 --dist worksteal -m "pure and not exhaustive" tests/unit)

test-unit: setup ## Run the unit tests: no stack, no network
	$(call timed,Unit tests,.venv/bin/python -m pytest $(BESIDE) tests/unit)

test: test-parts test-stack ## Run all tests; the tests of the whole stack start their own

test-parts: setup ## Run the tests that need no stack
	$(call timed,Tests without the stack,.venv/bin/python -m pytest $(BESIDE) tests/unit tests/component tests/dags tests/plugins)

coverage: setup ## Run the same tests and show the lines that they cover: var/coverage/index.html (without Spark's jobs, servers and trainings)
	$(call timed,Coverage,.venv/bin/python -m pytest $(BESIDE) --cov --cov-report term:skip-covered --cov-report html tests/unit tests/component tests/dags tests/plugins)

test-stack: setup ## Run the tests of the whole stack; they start their own
	$(call timed,Tests of the whole stack,.venv/bin/python -m pytest --numprocesses 2 --dist loadfile tests/integration --ignore tests/integration/test_on_kubernetes.py)

test-start: setup ## Start clones in closed folders, at long paths, as other users, without a network (a few minutes; as root)
	$(call timed,Tests of the first start,.venv/bin/python -m pytest tests/start)

test-kubernetes: setup lint-manifests ## Run the tests on the cluster of KUBECONFIG; LOAD_IMAGES="kind load docker-image" loads the images there
	@[ -n "$${KUBECONFIG:-}" ] || { echo "✗ KUBECONFIG names no cluster. With kind: kind create cluster, then KUBECONFIG=~/.kube/config make test-kubernetes LOAD_IMAGES=\"kind load docker-image\""; exit 1; }
	@$(MAKE) image-server image-trainer
	$(call timed,Image of a model server with faults,docker build --quiet --build-arg SERVER=$(SERVER_IMAGE) --tag $(FAULTY_IMAGE) tests/support/faulty_server)
	$(if $(LOAD_IMAGES),$(call timed,Bringing the images to the cluster,$(LOAD_IMAGES) $(TRAINER_IMAGE) $(SERVER_IMAGE) $(FAULTY_IMAGE)))
	$(call timed,Tests on Kubernetes,PERENNIAL_TRAINER_IMAGE=$(TRAINER_IMAGE) PERENNIAL_SERVER_IMAGE=$(SERVER_IMAGE) PERENNIAL_FAULTY_IMAGE=$(FAULTY_IMAGE) .venv/bin/python -m pytest tests/kubernetes tests/integration/test_on_kubernetes.py)

bench-serving: setup ## Compare the model server with MLServer (2-3 minutes; its environment goes to var/bench)
	$(call timed,Serving benchmark,.venv/bin/python tests/bench/serving.py)

bench-models: setup ## Judge the candidates on forty-eight next-day dates of 2013 (a few minutes; starts its own small stack)
	$(call timed,Model benchmark,.venv/bin/python tests/bench/models.py)

bench-classes: setup ## Measure a training with a category that names every row, beside one without it (a minute)
	$(call timed,Classes benchmark,.venv/bin/python tests/bench/classes.py)

bench-candidates: setup $(BENCH_STAMP) ## Train every family on the frozen data sets, beside its library used directly (fifteen minutes; SETS="churn rain" FAMILIES="mlp" measure some)
	$(call timed,Candidates benchmark,.bench/bin/python tests/bench/candidates.py $(if $(SETS),--sets $(SETS)) $(if $(FAMILIES),--families $(FAMILIES)))

$(BENCH_STAMP): $(UV_STAMP)
	$(call timed,Installing the data sets and libraries of bench-candidates into .bench (about 3.3 GB),\
	[ -x .bench/bin/python ] || .uv/bin/uv venv --quiet --python "$$(.uv/bin/python -c 'import sys; print(sys._base_executable)')" .bench; \
	.uv/bin/uv pip sync --quiet --require-hashes --python .bench/bin/python requirements/airflow.lock requirements/bench.lock; \
	.uv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .bench/bin/python --editable .; \
	rm -f .bench/.locked-*; touch $@)

bench-scale: setup ## Measure the Spark jobs of a big date and trainings, by row (ROWS=3000000; half an hour)
	$(call timed,Scale benchmark,.venv/bin/python tests/bench/scale_spark.py $(if $(ROWS),--rows $(ROWS)))
	$(call timed,Scale benchmark of trainings,.venv/bin/python tests/bench/scale_train.py)

bench-history: setup ## Measure backfills of 2013, and ten dates the naive way (one to two hours; ONLY="start tasks ten sixty year" selects parts)
	$(call timed,History benchmark,.venv/bin/python tests/bench/history.py $(if $(ONLY),--only $(ONLY)))

chaos-history: setup ## Kill processes of a backfill and compare with a clean one (SEEDS=20; RANDOM=100 draws seeds; ONLY="7 12" repeats some; DATES=60; BIG=1 divides each date among tasks)
	$(call timed,Backfill under kills,.venv/bin/python tests/chaos/history.py --dates $(or $(DATES),60) $(if $(BIG),--big) $(if $(ONLY),--only $(ONLY),$(if $(RANDOM),--random $(RANDOM),--seeds $(or $(SEEDS),20))))

fuzz: setup ## Edit a small pipeline in sequences of three, and compare with lakes built from the final pipeline (EDITS=60 sequences; SEED=7 is the first)
	$(call timed,Edits of a pipeline,EDIT_SEQUENCES=$(or $(EDITS),60) EDIT_FIRST_SEED=$(or $(SEED),0) .venv/bin/python -m pytest --timeout 3600 tests/component/evolve)

demo: setup ## Land real flights, retrain for two dates, ask the live model; leaves the stack running (PIPELINE=arrival_minutes: another one)
	$(call timed,Demo,.venv/bin/python -m stack.demo $(PIPELINE))

images: image-server image-trainer image-spark image-airflow ## Build the four images with docker
	@docker image ls --format '{{.Repository}}:{{.Tag}}  {{.Size}}' | grep -E '^perennial-(server|trainer|spark|airflow):$(IMAGE_TAG)'

build = $(call timed,Image perennial-$(1),docker build --quiet $(if $(PERENNIAL_BASE_IMAGE),--build-arg BASE_IMAGE="$(PERENNIAL_BASE_IMAGE)") --build-arg REVISION=$(or $(3),$(REVISION)) $(2) --tag perennial-$(1):$(IMAGE_TAG) --file include/images/$(or $(4),$(1))/Dockerfile .)

image-server image-trainer:
	$(call build,$(@:image-%=%),)

image-trainer-torch: ## Build the image of training pods of the family pytorch (6.8 GB)
	$(call build,trainer-torch,--build-arg REQUIREMENTS=requirements-torch.lock,,trainer)

# Its revision is the last commit of its own sources. Otherwise every commit would rebuild the Airflow image, which is based on it.
image-spark:
	$(call build,spark,,$(shell git log -1 --format=%H -- include/images/spark requirements/spark.lock 'include/stack/jars*' include/stack/own_jar.py 'include/*.java' 2>/dev/null))

image-airflow: image-spark
	$(call build,airflow,--build-arg SPARK_IMAGE=perennial-spark:$(IMAGE_TAG) --build-arg TORCH=$(PERENNIAL_TORCH))

compose-up: image-server image-airflow ## Start the full stack in containers and wait until every part is healthy
	$(call timed,Starting the containers,PERENNIAL_TAG=$(IMAGE_TAG) docker compose up --detach --wait --wait-timeout 600)
	@echo "  Airflow   http://127.0.0.1:$${PERENNIAL_AIRFLOW_PORT:-8080}  user admin, password: docker compose exec airflow-api cat /var/lib/perennial/secrets/airflow_admin"

compose-down: ## Stop the containers; data stays in the volume
	$(call timed,Stopping the containers,PERENNIAL_TAG=$(IMAGE_TAG) docker compose down)

test-compose: setup image-server image-airflow ## Run the demo's DAG in containers for two dates, and for one after an edit: up, run, down
	$(call timed,Tests in containers,PERENNIAL_TAG=$(IMAGE_TAG) .venv/bin/python -m pytest --capture=no tests/compose)

settings-page: setup ## Write docs/reference/settings.md from the class of the settings
	$(call timed,Page of the settings,PYTHONPATH=include:tests/support .venv/bin/python -m settings_page)

audit: setup sbom ## Look for known vulnerabilities of every pinned package (asks PyPI: needs a network), and write bills of materials
	$(call timed,Audit,ok=true; for lock in $(LOCKS); do echo "  $$lock"; .venv/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes --requirement $$lock || ok=false; done; $$ok)

sbom: setup ## Write bills of materials (CycloneDX) of all environments and images to var/sbom, from the locks alone
	$(call timed,Bills of materials,PYTHONPATH=include:tests/support .venv/bin/python -m sbom "$(VAR)/sbom" $(REVISION) $(LOCKS))

lock: $(UV_STAMP) ## Resolve every requirements file again and write its lock file
	$(call timed,Locking,\
	for name in $(LOCKS:.lock=); do \
	(cd "$$(dirname $$name)"; "$(CURDIR)/.uv/bin/uv" pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		"$$(basename $$name).txt" --output-file "$$(basename $$name).lock"); \
	echo "  $$name.lock"; done)
