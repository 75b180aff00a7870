"""Scoring: plans, metrics, protocols, published figures, reports, and files for benchmark servers."""
