.PHONY: check test format

check:
	ruff format --check .
	ruff check .
	mypy

test:
	python -m pytest

format:
	ruff format .
	ruff check --fix .
