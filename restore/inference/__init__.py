"""A network put to work on a whole picture: tiles, devices, precision and memory."""
