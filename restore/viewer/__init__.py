"""The before/after page, the viewer in it, and the comparison sheet."""
