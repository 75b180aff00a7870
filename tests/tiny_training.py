"""`restore`, with a CS-KiT so small that it trains in a moment: `python tests/tiny_training.py train ...`."""

from restore.cli.app import main
from restore.networks import NETWORKS

TINY = {"dim": 8, "blocks": 1, "h": 1, "shuffle": 2}  # the config `tiny`
SET = {  # what makes a recipe of CS-KiT train in a moment
    "config": "tiny", "stages": [], "local_steps": 0, "batch": 1, "crop": 64, "held_out": 1, "warm_up": 0,
    "precision": "float32",
}  # fmt: skip

if __name__ == "__main__":
    NETWORKS["cs-kit"].CONFIGS["tiny"] = TINY
    main()
