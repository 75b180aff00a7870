.PHONY: check test format

check:
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

test:
	python -m pytest

format:
	ruff format .
	ruff check --fix .
