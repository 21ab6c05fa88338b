"""What `edgecap bench` measures; importing this imports nothing heavy."""

DEFAULT_RUNS, MAXIMUM_RUNS = 30, 100_000
DEFAULT_WARM_UP, MAXIMUM_WARM_UP = 5, 10_000
