"""Ranges and defaults of what a caller can choose; importing this imports nothing heavy."""

BACKENDS = ("auto", "litert", "tflite-runtime")
MAXIMUM_BEAM = 16
MAXIMUM_THREADS = 64
# More make no encoder of this size faster.
DEFAULT_THREADS = 4
# Seconds that an address may take.
DEFAULT_TIMEOUT = 20.0
MAXIMUM_TIMEOUT = 3_600.0
# How often, in seconds, watched folders are looked through: with nothing else to go by; and, where
# the system tells what arrives, for what it does not see, such as what other machines write to a
# network drive.
POLL_SECONDS, NOTIFIED_POLL_SECONDS = 10.0, 3_600.0
MAXIMUM_POLL_SECONDS = 86_400.0
# What --isolate allows: seconds a photo, and bytes beside what it takes to start.
ISOLATED_SECONDS = 60.0
ISOLATED_MEMORY = 1_000_000_000
