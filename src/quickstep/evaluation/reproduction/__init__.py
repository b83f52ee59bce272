"""The papers' tables and figures, re-run on the built-in data."""
