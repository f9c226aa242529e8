"""Scores of drift by other libraries beside ours, on the same values."""
