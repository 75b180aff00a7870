"""For developers: train, compare, bundle and score weights. Not part of the wheel."""
