"""Texts in an XMP packet, read and set, with all else in it left as it is, byte for byte.

Source: XMP Specification Part 1 (ISO 16684-1).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from edgecap_runtime import rdf
from edgecap_runtime.rdf import Element, XmpError

EMPTY = f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf.NAMESPACE}">
  <rdf:Description rdf:about="">
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
""".encode()
"""A packet that says nothing."""

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ATTRIBUTE = re.compile(rb"""\s([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")


class Property(NamedTuple):
    """A property, and the prefix that it is usually written with.

    Of one in languages (an `rdf:Alt`) the text for any language is meant.
    """

    prefix: str
    namespace: str
    name: str
    in_languages: bool

    @property
    def expanded(self) -> str:
        """As expat names it."""
        return f"{self.namespace} {self.name}"


class Packet:
    """A packet in UTF-8 or UTF-16, of which some properties matter.

    Raises XmpError if it is none.
    """

    def __init__(self, content: bytes, properties: Collection[Property]) -> None:
        marked = (encoding for mark, encoding in _ENCODINGS if content.startswith(mark))
        self._encoding = next(marked, "utf-8")
        try:
            self._bytes = content.decode(self._encoding).encode("utf-8")
        except UnicodeError as error:
            raise XmpError("is not in UTF-8") from error
        self._rdf = rdf.parse(self._bytes, {one.expanded for one in properties})
        self._descriptions = list(self._rdf.those(rdf.DESCRIPTION))
        self._splices: list[tuple[int, int, str]] = []
        self._new: list[str] = []

    def text(self, wanted: Property) -> str:
        """What a property says, if possible for any language; empty if it says nothing."""
        for description in self._descriptions:
            if wanted.expanded in description.attributes:
                return description.attributes[wanted.expanded][1].strip()
            for element in description.those(wanted.expanded):
                return (element.any_language() or element).text.strip()
        return ""

    def set(self, wanted: Property, text: str) -> None:
        """Gives a property a text; to be called once. Texts for single languages stay."""
        for description in self._descriptions:
            if wanted.expanded in description.attributes:
                return self._set_attribute(description, wanted, text)
            for element in description.those(wanted.expanded):
                return self._set_element(element, wanted, text)
        self._new.append(_written(wanted, text, self._home.scope))
        return None

    def content(self) -> bytes:
        """The packet with what was set, in the encoding that it has."""
        if self._new:
            new = "".join(f"\n   {one}" for one in self._new)
            if not self._descriptions:
                declared = f'xmlns:rdf="{rdf.NAMESPACE}"'
                new = f'<rdf:Description {declared} rdf:about="">{new}</rdf:Description>'
            home = self._home
            place = home.inner + len(self._bytes[home.inner : home.inner_end].rstrip())
            self._replace(home, place, place, new)
            self._new.clear()
        changed = self._bytes
        for start, end, text in sorted(self._splices, reverse=True):
            changed = changed[:start] + text.encode("utf-8") + changed[end:]
        return changed.decode("utf-8").encode(self._encoding)

    @property
    def _home(self) -> Element:
        """Where new properties go."""
        return self._descriptions[0] if self._descriptions else self._rdf

    def _set_attribute(self, element: Element, wanted: Property, text: str) -> None:
        name = (element.attributes[wanted.expanded][0] + wanted.name).encode()
        for found in _ATTRIBUTE.finditer(self._bytes, element.start, element.inner):
            if found[1] == name:
                self._splices.append((*found.span(2), quoteattr(text)))

    def _set_element(self, element: Element, wanted: Property, text: str) -> None:
        alternatives = next(element.those(rdf.ALTERNATIVES), None)
        target = element.any_language() if wanted.in_languages else element
        if target is not None:
            self._replace(target, target.inner, target.inner_end, escape(text))
        elif alternatives is not None:  # the text for any language comes first
            place = alternatives.inner
            self._replace(alternatives, place, place, _item(alternatives.prefix, text))
        else:
            written = _written(wanted, text, element.scope)
            self._splices.append((element.start, element.end, written))

    def _replace(self, element: Element, start: int, end: int, text: str) -> None:
        """Puts a text between two places inside an element, or all of it into an empty one."""
        if element.inner == element.end:
            name = f"{element.prefix}{element.name.rpartition(' ')[2]}"
            self._splices.append((element.end - 2, element.end, f">{text}</{name}>"))
        else:
            self._splices.append((start, end, text))


def _item(prefix: str, text: str) -> str:
    return f'<{prefix}li xml:lang="{rdf.ANY_LANGUAGE}">{escape(text)}</{prefix}li>'


def _written(wanted: Property, text: str, scope: dict[str, str]) -> str:
    """The property as an element that declares those prefixes that are not in `scope`."""
    name = f"{wanted.prefix}:{wanted.name}"
    needed = {wanted.prefix: wanted.namespace}
    inside = escape(text)
    if wanted.in_languages:
        needed["rdf"] = rdf.NAMESPACE
        inside = f"<rdf:Alt>{_item('rdf:', text)}</rdf:Alt>"
    missing = (one for one in needed.items() if scope.get(one[0]) != one[1])
    declared = "".join(f' xmlns:{prefix}="{namespace}"' for prefix, namespace in missing)
    return f"<{name}{declared}>{inside}</{name}>"
