"""Training: recipes, the loop and its parts, and the folder of a run."""
