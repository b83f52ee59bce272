"""Public checkpoints of other projects, turned into model folders."""
