"""Training of the network behind `restore inspect`: `restore train inspect`."""
