"""Teachers: networks read as clean estimates, and the exact ones whose answers are known."""
