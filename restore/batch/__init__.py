"""Many pictures in one run: which file becomes which, the pipeline, several processes, and the report."""
