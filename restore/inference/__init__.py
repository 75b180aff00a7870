"""Applies a network to a whole picture: tiles, devices, precision and memory."""
