"""The loop that runs every method: steps, averages, checkpoints, progress."""
