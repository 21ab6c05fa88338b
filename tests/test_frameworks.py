"""What the converter asks of the system around TensorFlow."""

import subprocess
import sys
import textwrap

import pytest

BLOCKS = 20


def page_faults(keep: bool) -> int:
    """Of `BLOCKS` blocks of 64 MB, each written and freed, in a new process."""
    program = f"""
        import ctypes, resource
        from edgecap_converter.frameworks import keep_freed_memory
        c = ctypes.CDLL(None)
        c.malloc.restype, c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        c.free.restype, c.free.argtypes = None, [ctypes.c_void_p]
        if {keep}:
            keep_freed_memory()
        for turn in range(1 + {BLOCKS}):
            block = c.malloc(64 << 20)
            ctypes.memset(block, 1, 64 << 20)
            c.free(block)
            if turn == 0:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc, which Linux has")
def test_what_is_freed_is_not_fetched_again() -> None:
    # A page is 4 KB, or as large as a block where the system hands out large ones.
    assert page_faults(keep=False) >= BLOCKS > page_faults(keep=True)


def test_a_graph_for_each_length_is_nothing_to_warn_of() -> None:
    program = """
        from edgecap_converter.frameworks import import_tensorflow
        tensorflow = import_tensorflow()
        step = tensorflow.function(lambda words: words + 1)
        for length in range(1, 10):
            step(tensorflow.zeros(length))
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stderr
    assert "retracing" not in said
