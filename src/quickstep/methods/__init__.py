"""Ways to learn: each method says what the loss of one batch is, readable beside its paper."""
