"""Many pictures in one run: the plan, the restorer, the pipeline, several processes, and the report."""
