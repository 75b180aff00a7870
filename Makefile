.PHONY: check test format

# mkdocs does not count warnings with --quiet.
check:
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

test:
	python -m pytest

format:
	ruff format .
	ruff check --fix .
