"""What a run needs, told before it starts: memory, disk, evaluations, operations and time."""
