.PHONY: check test format

check:
	ruff format --check .
	ruff check .
	mypy
	lint-imports

test:
	python -m pytest

format:
	ruff format .
	ruff check --fix .
