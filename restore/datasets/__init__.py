"""Named datasets, pairs of pictures to score, and crops to train on."""
