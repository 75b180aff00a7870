"""The local web page: a server on this machine, with uploads, inspection, steps and downloads."""
