"""Footage to checked, encoded training clips in shards."""
