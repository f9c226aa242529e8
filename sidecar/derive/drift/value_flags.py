"""What is counted of the values of a column besides the bins."""

from __future__ import annotations

FLAGS = ("missing", "invalid", "below", "above", "unseen")
"""`missing` and `invalid` values are in no bin; those `below` the reference's least value are in the first bin too,
those `above` its greatest in the last, and `unseen` categories in `rest`."""
MISSING, INVALID, BELOW, ABOVE, UNSEEN = range(len(FLAGS))
