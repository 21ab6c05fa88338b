"""What was found, as `benchmarks/results/devices.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from workshop import Kernels, Outcome, Resolved, Unsupported

if TYPE_CHECKING:
    from recording import Comparison

Found = Outcome | Kernels | Resolved | Unsupported

# What the smallest Raspberry Pi's card has to hold, in MB without pip and compiled files.
MOST_MEGABYTES = {"ai-edge-litert": 130.0, "tflite-runtime": 85.0}


HEAD = """\
# The same words on every device

Written by `python tests/devices --write`. **No device was used**: Arm was emulated by qemu, so
nothing here says how fast anything is. macOS and Windows were not run at all.

"""
WORDS = """\
## Words and features

Each target's pip installed the wheel of this tree, and its `edgecap caption` captioned the same
photos of Flickr8k's dev split in one process, greedy. *Features* are the encoder's three outputs,
before the decoder: the share of their values that are at least half a step of their int8
quantization apart, and the largest difference in such steps.

"""
ROUNDING = """
## Where words differ

LiteRT hands the encoder to XNNPACK, which scales each layer's sums in float32. tflite-runtime's own
kernels scale them in fixed point, with further roundings, and on Arm not with the same as on x86.
On the same input, the operations of the encoder differ so on x86:

"""
TIES = """
So single values of a layer come out one step apart, and more of them with each further layer. That
this is all shows where XNNPACK is switched off (*built-in kernels* above): there LiteRT gives
tflite-runtime's captions. It stays on, because without it the encoder takes {slower:.1f} times as
long on x86.

Captions part where two words are nearly as good. *Margins* are by how much the scores (logits) of
the two best words differ at the first word that is not the same, here and there: together they are
how far rounding moved the two scores apart. *Elsewhere* is how far, at most, it moved the two best
words' scores in captions with equal words. More than that fails the check.

"""
SIZE = """
## Size

All installed files without pip and `.pyc`, MB of 10^6 bytes; goals are for 64-bit Arm.

"""
NOT_RUN = """
## What was not run

"""
GAP = """\
- 32-bit Raspberry Pi OS Bookworm: pip takes numpy and Pillow from piwheels.org there, and the
  package index has neither. Debian's older ones stood in, with Pillow's property
  `has_transparency_data` added; the engine is what pip installs on a device.
- The photos are Flickr8k's, which may not be passed on; `EDGECAP_PHOTOS` names a folder of others.
"""


def page(found: Sequence[Found]) -> Iterator[str]:
    """The lines of the page."""
    outcomes = [one for one in found if isinstance(one, Outcome)]
    yield from HEAD.splitlines()
    yield from _targets(outcomes)
    (kernels,) = (one for one in found if isinstance(one, Kernels))
    yield from _rounding(kernels)
    yield from _differences(outcomes)
    yield from _sizes(outcomes)
    yield from _others(found)


def _targets(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield from WORDS.splitlines()
    yield "| target | checked | installed | compared with | equal captions | features |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in outcomes:
        versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
        words = f"{one.comparison.equal} of {one.comparison.photos}"
        yield (
            f"| {one.target} | {one.checked} | {versions} | {one.against} | {words} "
            f"| {'; '.join(_features(one.comparison))} |"
        )


def _features(comparison: Comparison) -> Iterator[str]:
    if comparison.decoded:
        yield (
            f"{comparison.decoded} photos decoded otherwise, by at most {comparison.levels:.0f} of "
            "256 levels"
        )
    if comparison.exact == comparison.photos:
        yield "equal to the last bit"
    elif comparison.steps < 0.5:
        yield "equal but for float32's last bit"
    else:
        yield f"{100 * comparison.differing:.1f} % apart, at most {comparison.steps:.0f} steps"


def _rounding(kernels: Kernels) -> Iterator[str]:
    yield from ROUNDING.splitlines()
    yield "| operation | in the encoder | values that differ, mean | by at most |"
    yield "| --- | --- | --- | --- |"
    for name, found in kernels.operations.items():
        apart = f"{found['largest']:.2g}" if found["largest"] else ""
        share = f"{100 * found['differing']:.2f} %"
        yield f"| {name} | {found['operations']} | {share} | {apart} |"
    yield from TIES.format(slower=kernels.slower).splitlines()


def _differences(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| target | compared with | photo | here | there | word | margins | moved elsewhere |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for one in outcomes:
        for parted in one.comparison.parted:
            yield (
                f"| {one.target} | {one.against} | {parted.photo} | {parted.caption} "
                f"| {parted.reference} | {parted.word + 1} "
                f"| {parted.margin:.3f} and {parted.reference_margin:.3f} "
                f"| {one.comparison.moved:.3f} |"
            )


def _sizes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield from SIZE.splitlines()
    yield "| target | distributions | MB | without the bundle | goal | reached |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in {one.target: one for one in outcomes if one.census["complete"]}.values():
        size, bundle = one.census["megabytes"], one.census["bundle_megabytes"]
        goal = MOST_MEGABYTES[next(iter(one.versions))] if "64-bit" in one.target else None
        reached = ("yes" if size <= goal else "**no**") if goal else ""
        yield (
            f"| {one.target} | {len(one.census['distributions'])} | {size:.1f} "
            f"| {size - bundle:.1f} | {f'at most {goal:.0f}' if goal else ''} | {reached} |"
        )


def _others(found: Sequence[Found]) -> Iterator[str]:
    yield from NOT_RUN.splitlines()
    for one in found:
        if isinstance(one, Resolved):
            counts = ", ".join(f"{python} ({n})" for python, n in one.distributions.items())
            yield (
                f"- {one.target}: pip finds wheels of all that edgecap needs there, {one.engine} "
                f"among it; by Python (distributions besides edgecap): {counts}."
            )
        elif isinstance(one, Unsupported):
            yield f"- {one.target}: {one.said}."
    yield from GAP.splitlines()
