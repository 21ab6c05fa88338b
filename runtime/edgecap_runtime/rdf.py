"""Where the elements of RDF in an XML document stand, in bytes.

An XML library of Python's would not write back the prefixes, comments and character references
that it has read; whoever knows the places can leave all else alone. A document type is refused, and
with it every entity but XML's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

NAMESPACE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDF, DESCRIPTION, ALTERNATIVES, ITEM = (
    f"{NAMESPACE} {name}" for name in ("RDF", "Description", "Alt", "li")
)
"""As expat names them: namespace, a space, and the name."""
ANY_LANGUAGE = "x-default"
_LANGUAGE = "http://www.w3.org/XML/1998/namespace lang"
_DEEPEST = 200
_START_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")


class XmpError(Exception):
    """What is no packet, or none that can be changed; says in a few words why."""


@dataclass
class Element:
    """An element and where it stands, in bytes: `<start>inner ... inner_end</...>end`.

    One that closes itself has `inner`, `inner_end` and `end` at one place.
    """

    name: str
    """Namespace, a space, and the name."""
    prefix: str
    """As written, with its colon."""
    attributes: dict[str, tuple[str, str]]
    """Name like `name` -> prefix and value."""
    scope: dict[str, str]
    """Prefix -> namespace."""
    start: int
    inner: int
    inner_end: int = 0
    end: int = 0
    text: str = ""
    """All characters inside, those of inner elements too."""
    children: list[Element] = field(default_factory=list)

    def those(self, name: str) -> Iterator[Element]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def any_language(self) -> Element | None:
        """The item of an `rdf:Alt` inside that is for any language, or names none."""
        items = [item for alt in self.those(ALTERNATIVES) for item in alt.those(ITEM)]
        for wanted in (ANY_LANGUAGE, ""):
            for item in items:
                if item.attributes.get(_LANGUAGE, ("", ""))[1].lower() == wanted:
                    return item
        return None


def parse(content: bytes, properties: Collection[str]) -> Element:
    """The `rdf:RDF` of a document in UTF-8, in it the descriptions, and in these the properties.

    Args:
        content: the document.
        properties: names, as expat has them, of those that are of interest.

    Raises:
        XmpError: if it is no such document.
    """
    return _Parser(content, properties).rdf


class _Parser:
    """Finds the `rdf:RDF` of a document in UTF-8, in it the descriptions, in these `properties`."""

    def __init__(self, content: bytes, properties: Collection[str]) -> None:
        self._content = content
        self._properties = properties
        self._open: list[Element | None] = []
        self._scopes: list[dict[str, str]] = [{}]
        self._bound: dict[str, str] = {}
        self._roots: list[Element] = []
        parser = self._parser = expat.ParserCreate("utf-8", " ")
        parser.namespace_prefixes = parser.buffer_text = True
        parser.XmlDeclHandler = self._declare
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartNamespaceDeclHandler = self._bind
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._say
        parser.EndElementHandler = self._end
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise XmpError(f"is broken XML ({error})") from error
        if not self._roots:
            raise XmpError("is no XMP: there is no rdf:RDF in it")
        self.rdf = self._roots[0]

    def _declare(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding and encoding.lower() not in ("utf-8", "utf-16", "us-ascii"):
            raise XmpError(f"is in {encoding[:20]}, expected UTF-8")

    def _refuse(self, *_: object) -> None:
        raise XmpError("has a document type, which no XMP has")

    def _bind(self, prefix: str | None, namespace: str) -> None:
        self._bound[prefix or ""] = namespace

    def _start(self, triplet: str, attributes: dict[str, str]) -> None:
        if len(self._open) == _DEEPEST:
            raise XmpError(f"is nested more than {_DEEPEST} deep")
        # Most elements bind nothing and share what is in scope.
        scope = {**self._scopes[-1], **self._bound} if self._bound else self._scopes[-1]
        self._scopes.append(scope)
        self._bound = {}
        name, prefix = _split(triplet)
        parent = self._open[-1] if self._open else None
        if not self._matters(name, parent):
            self._open.append(None)
            return
        start = self._parser.CurrentByteIndex
        tag = _START_TAG.match(self._content, start)
        assert tag is not None  # the parser saw it
        given = {_split(one)[0]: (_split(one)[1], value) for one, value in attributes.items()}
        inner = inner_end = tag.end()
        element = Element(name, prefix, given, scope, start, inner, inner_end, inner)
        (self._roots if parent is None else parent.children).append(element)
        self._open.append(element)

    def _matters(self, name: str, parent: Element | None) -> bool:
        if parent is None:
            return name == RDF and not self._roots
        if parent.name == RDF:
            return name == DESCRIPTION
        return parent.name != DESCRIPTION or name in self._properties

    def _say(self, text: str) -> None:
        for element in reversed(self._open):
            if element is None or element.name in (RDF, DESCRIPTION):
                break
            element.text += text

    def _end(self, _name: str) -> None:
        self._scopes.pop()
        element = self._open.pop()
        if element is None or self._content[element.inner - 2 : element.inner] == b"/>":
            return
        element.inner_end = self._parser.CurrentByteIndex
        element.end = self._content.index(b">", element.inner_end) + 1


def _split(triplet: str) -> tuple[str, str]:
    """What expat calls something -> namespace and name, and the prefix with its colon."""
    namespace, _, rest = triplet.partition(" ")
    name, _, prefix = rest.partition(" ")
    return f"{namespace} {name}".strip(), f"{prefix}:" if prefix else ""
