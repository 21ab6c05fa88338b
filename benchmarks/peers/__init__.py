"""edgecap beside what people would use instead, each in an environment of its own, in one run.

`python -m peers --help` says how to run it; README.md, what is compared and how long it takes.
"""
