"""Judgement: how close a video is to the truth, and what it cost."""
