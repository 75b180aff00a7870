.PHONY: check test campaign format

# mkdocs does not count warnings with --quiet.
check:
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

test:
	python -m pytest

# Hostile and damaged input by the ten thousand: about half an hour. CAMPAIGN_SEED and CAMPAIGN_FILES change it.
campaign:
	python -m pytest -s -m "slow or not slow" tests/campaign tests/batch/test_killed_runs.py tests/cli/test_terminal_safety.py

format:
	ruff format .
	ruff check --fix .
