"""What `edgecap bench` measures; importing this imports nothing heavy."""

DEFAULT_ROUNDS, MAXIMUM_ROUNDS = 10, 1_000
DEFAULT_RUNS, MAXIMUM_RUNS = 20, 100_000
DEFAULT_WARM_UP, MAXIMUM_WARM_UP = 5, 10_000
# Percent by which a figure may be worse than its baseline: a quiet machine repeats a median within
# a few percent.
DEFAULT_TOLERANCE = 10.0
DEFAULT_GALLERY, MAXIMUM_GALLERY = 100, 10_000
