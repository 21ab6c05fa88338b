"""The contract that the runtime, the converter and the benchmarks share."""

__version__ = "0.1.0"
