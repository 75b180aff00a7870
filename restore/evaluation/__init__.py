"""Scores: metrics, protocols, published figures, and files for the benchmarks."""
