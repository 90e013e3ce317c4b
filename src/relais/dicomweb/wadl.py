"""Capabilities Descriptions: resources and their methods as WADL, in XML and in JSON (PS3.18 H). Knows text, no routes.

The JSON form is the same tree: an element is an object, its attributes are members, and its child elements of one name
are an array under that name.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

MEDIA_TYPE = "application/vnd.sun.wadl+xml"
NAMESPACE = "http://wadl.dev.java.net/2009/02"
SCHEMA = "http://www.w3.org/2001/XMLSchema"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request. *style* is "query", "header" or "template"; *options* are all values it may have."""

    name: str
    style: str = "query"
    type: str = "xs:string"
    options: tuple[str, ...] = ()
    default: str = ""
    is_repeating: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """What one HTTP method does to a resource. *statuses* are those of success, with *makes* as their media types."""

    name: str
    id: str
    title: str
    parameters: tuple[Parameter, ...] = ()
    takes: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (200,)
    failures: tuple[int, ...] = ()


@dataclass(slots=True)
class Resource:
    """One segment of a path, like "studies" or "{StudyInstanceUID}", with what is below it."""

    path: str
    methods: list[Method] = field(default_factory=list)
    children: dict[str, "Resource"] = field(default_factory=dict)

    def at(self, segments: Iterable[str]) -> "Resource":
        """The resource at *segments* below this one, made if it is not there."""
        found = self
        for segment in segments:
            found = found.children.setdefault(segment, Resource(segment))
        return found


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a WADL document."""

    name: str
    attributes: dict[str, str]
    children: tuple["Element", ...] = ()


def document(base: str, resources: Iterable[Resource]) -> Element:
    """The description of *resources*, whose paths continue *base* (PS3.18 H)."""
    below = Element("resources", {"base": base}, tuple(map(_resource, resources)))
    return Element("application", {"xmlns": NAMESPACE, "xmlns:xs": SCHEMA}, (below,))


def as_xml(root: Element) -> bytes:
    """*root* as an XML document."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{"".join(_xml(root))}'.encode()


def as_json(root: Element) -> dict[str, Any]:
    """*root* as an object for a JSON document."""
    return {root.name: _json(root)}


def _resource(resource: Resource) -> Element:
    template = resource.path.strip("{}")
    own = [_parameter(Parameter(template, style="template"))] if resource.path != template else []
    children = (*own, *map(_method, resource.methods), *map(_resource, resource.children.values()))
    return Element("resource", {"path": resource.path}, children)


def _method(method: Method) -> Element:
    accept = [Parameter("Accept", "header", options=method.makes, default=method.makes[0])] if method.makes else []
    asked = (*map(_parameter, (*accept, *method.parameters)), *_representations(method.takes))
    answered = Element("response", _statuses(method.statuses), tuple(_representations(method.makes)))
    refused = (Element("response", _statuses(method.failures)),) if method.failures else ()
    children = (Element("doc", {"title": method.title}), Element("request", {}, asked), answered, *refused)
    return Element("method", {"name": method.name, "id": method.id}, children)


def _parameter(parameter: Parameter) -> Element:
    attributes = {"name": parameter.name, "style": parameter.style, "type": parameter.type}
    attributes |= {"default": parameter.default} if parameter.default else {}
    attributes |= {"repeating": "true"} if parameter.is_repeating else {}
    return Element("param", attributes, tuple(Element("option", {"value": option}) for option in parameter.options))


def _representations(media_types: Iterable[str]) -> Iterator[Element]:
    return (Element("representation", {"mediaType": media_type}) for media_type in media_types)


def _statuses(statuses: Iterable[int]) -> dict[str, str]:
    return {"status": " ".join(map(str, statuses))}


def _xml(element: Element) -> Iterator[str]:
    head = "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes.items())
    if not element.children:
        yield f"<{element.name}{head}/>"
        return
    yield f"<{element.name}{head}>"
    for child in element.children:
        yield from _xml(child)
    yield f"</{element.name}>"


def _json(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name, value in element.attributes.items() if not name.startswith("xmlns")}
    for child in element.children:
        found.setdefault(child.name, []).append(_json(child))
    return found
