"""`restore`, with a CS-KiT so small that it trains in a moment: `python tests/tiny_training.py train ...`."""

from restore.cli.app import main
from restore.networks import NETWORKS

TINY = {"dim": 8, "blocks": 1, "h": 1, "shuffle": 2}

if __name__ == "__main__":
    NETWORKS["cs-kit"].CONFIGS["tiny"] = TINY
    main()
