"""32-bit Raspberry Pi OS Bookworm: Python 3.11, tflite-runtime and numpy before 2.

piwheels.org has numpy and Pillow there, the package index has not: Debian's older ones stand in.
"""

import json
from collections.abc import Iterator

from guest import Guest
from lean_install import require
from platforms import linux
from workshop import Outcome, Workshop

NAME = "32-bit Raspberry Pi OS Bookworm"
WHEELS = linux("armv7l", "3.11", glibc=36)
FROM_DEBIAN = ("python3-numpy", "python3-pil")
FROM_INDEX = ("tflite-runtime", "click")

# Run by the target's Python, with pip on its path: what edgecap requires there.
REQUIRED = """
import json, sys
from importlib.metadata import requires
sys.path.insert(0, sys.argv[1])
from pip._vendor.packaging.requirements import Requirement
found = map(Requirement, requires("edgecap"))
found = [one for one in found if not one.marker or one.marker.evaluate({"extra": ""})]
print(json.dumps({one.name: str(one.specifier) for one in found}))
"""


def check(workshop: Workshop) -> Iterator[Outcome]:
    """tflite-runtime and click as pip installs them, numpy and Pillow as Debian has them."""
    guest = Guest(workshop.folder("armv7l"), "bookworm", "armhf", "3.11", *FROM_DEBIAN)
    wheels = workshop.folder("armv7l-wheels")
    WHEELS.download(workshop.builder, wheels, "--no-deps", *FROM_INDEX)
    guest.install(wheels, FROM_INDEX, workshop.wheel)
    required = json.loads(guest.run("python", "-c", REQUIRED, guest.pip_wheel))
    require(set(required) == {*FROM_INDEX, "numpy", "pillow"}, "what an armv7l needs", required)
    require("<2" in required["numpy"], "numpy before 2", required)
    checked = f"Debian 12's armhf Python 3.11, numpy and Pillow, {guest.describe()}"
    yield workshop.check(f"{NAME}, tflite-runtime", checked, guest)
