"""Ranges and defaults of what a caller can choose; importing this imports nothing heavy."""

BACKENDS = ("auto", "litert", "tflite-runtime")
MAXIMUM_BEAM = 16
MAXIMUM_THREADS = 64
# More make no encoder of this size faster.
DEFAULT_THREADS = 4
# Seconds that an address may take.
DEFAULT_TIMEOUT = 20.0
MAXIMUM_TIMEOUT = 3_600.0
