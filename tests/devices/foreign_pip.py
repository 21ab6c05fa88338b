"""pip as it decides on another machine; run by the Python whose pip it is.

python foreign_pip.py ENVIRONMENT ARGUMENT...

ENVIRONMENT is a JSON object with the values of environment markers there. pip's own options
`--platform` and `--python-version` choose wheels for another machine, but markers are still
evaluated for the one it runs on: tqdm's `colorama; platform_system == "Windows"` is left out.
"""

import json
import sys

from pip._vendor.packaging import markers

there = {**markers.default_environment(), **json.loads(sys.argv[1])}
markers.default_environment = lambda: dict(there)

from pip._internal.cli.main import main  # noqa: E402

sys.exit(main(sys.argv[2:]))
