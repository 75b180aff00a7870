"""Training: recipes, the loop, its parts, and the folder of a run."""
