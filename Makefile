# Two commands matter: `make serve` and `make test`. Each sets up what it needs by itself.
SHELL := /bin/bash
PY := .venv/bin/python
# Set-up puts Node.js there where the system has none.
export PATH := $(PATH):$(CURDIR)/.venv/bin

.PHONY: serve test lint format site bench clean setup-serve setup-test

serve: setup-serve site
	.venv/bin/edgewise serve --site build/site

test: setup-test lint site
	$(PY) -m pytest tests --no-skips -n logical
	$(PY) -m pytest e2e --no-skips -n 2 --dist loadfile

lint:
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	node_modules/.bin/tsc --project .

format:
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

site:
	$(PY) tools/build_site.py

bench: setup-test site
	python3 bench/wasm/peers.py
	PYTHONPATH=pyapp:. $(PY) -m bench.wasm.run
	PYTHONPATH=pyapp:. $(PY) -m bench.wasm.peak --lines build/bench/wasm.jsonl

setup-serve:
	@python3 tools/setup.py serve

setup-test:
	@python3 tools/setup.py test

clean:
	rm -rf build
