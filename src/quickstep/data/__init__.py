"""Clips: from videos, from folders, and rendered."""
