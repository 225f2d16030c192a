"""Renders a chat template exactly as transformers does, in jinja2's sandbox.

The sandbox keeps a template from Python's inside, but bounds neither time nor memory: this runs in
the process of `template_worker`. Nothing of Pellucid is imported here, since none is loaded there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

_LONGEST_REASON = 500  # characters of an exception's text that are passed on


class RefusalError(jinja2.TemplateError):
    """The template called `raise_exception`."""


class ExcessError(Exception):
    """The text grew beyond its limit."""


class GenerationTag(Extension):
    """`{% generation %} ... {% endgeneration %}` marks what the model said; here it only renders.

    The body is a call block, as in transformers, so that variables set inside stay inside.
    """

    tags = {"generation"}  # noqa: RUF012  (an instance variable in jinja2's declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Macro) -> str:
        return caller()


class SafeDict:
    """`dict` for templates: builds dictionaries without being the type itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class SafeNamespace(Namespace):
    """`namespace` for templates, refusing names that start with an underscore."""

    # The instance is positional, so that a template may store an attribute called `self`.
    def __init__(*args: Any, **kwargs: Any) -> None:
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _refuse_private(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: object) -> None:
    if str(name).startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace has no place for {name!r}")


def raise_exception(message: object) -> None:
    """What a template calls to refuse a conversation."""
    raise RefusalError(str(message))


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models were trained on it: jinja2's own filter escapes `<`, `>`, `&` and `'`."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def strftime_now(form: str) -> str:
    """The local date and time."""
    return datetime.now().strftime(form)


def environment() -> ImmutableSandboxedEnvironment:
    """The environment that transformers gives chat templates (utils/chat_template_utils.py)."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, "jinja2.ext.loopcontrols"]
    )
    made.filters["tojson"] = tojson
    made.globals["dict"] = SafeDict()
    made.globals["namespace"] = SafeNamespace
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = strftime_now
    return made


class Rendering:
    """Answers requests for one template, in the letters of `template_worker`.

    The template is compiled for the first request, because compiling needs the same limits:
    jinja2 computes constant expressions then.
    """

    def __init__(self, source: str, text_bytes: int) -> None:
        self.source = source
        self.text_bytes = text_bytes
        self._compiled: tuple[jinja2.Template, set[str]] | None = None

    def __call__(self, variables: Mapping[str, Any], given: Sequence[str]) -> bytes:
        try:
            template, read = self._compile()
            unread = [name for name in given if name not in read]
            return b"U" + unread[0].encode() if unread else b"T" + self._text(template, variables)
        except Exception as error:
            return b"F" + explain(error).encode("utf-8", "backslashreplace")

    def _compile(self) -> tuple[jinja2.Template, set[str]]:
        if self._compiled is None:
            made = environment()
            read = meta.find_undeclared_variables(made.parse(self.source))
            self._compiled = made.from_string(self.source), read
        return self._compiled

    def _text(self, template: jinja2.Template, variables: Mapping[str, Any]) -> bytes:
        parts: list[str] = []
        size = 0
        for part in template.generate(variables):
            size += len(part)
            if size > self.text_bytes:
                break
            parts.append(part)
        text = "".join(parts).encode("utf-8", "surrogatepass")
        if max(size, len(text)) > self.text_bytes:
            raise ExcessError(f"its text grows beyond the limit of {self.text_bytes:,} bytes")
        return text


def explain(error: Exception) -> str:
    """What went wrong, with the template's line where there is one."""
    text = str(error)[:_LONGEST_REASON]
    match error:
        case RefusalError():
            return f"the chat template refuses this conversation: {text}"
        case jinja2.TemplateSyntaxError():
            return f"the chat template is not valid: line {error.lineno}: {text}"
        case MemoryError():
            text = "it takes more memory than its limit"
        case RecursionError():
            text = "it calls itself, or is nested, too deep"
        case jinja2.exceptions.SecurityError():
            text = f"it reaches for what the sandbox forbids: {text}"
        case ExcessError() | jinja2.TemplateError():
            pass
        case SyntaxError():  # of the Python that jinja2 made: more than 20 loops in one another
            text = f"{error.msg}"
        case _:
            text = f"{type(error).__name__}: {text}"
    line = _line(error)
    return f"the chat template failed{f' at line {line}' if line else ''}: {text}"


def _line(error: Exception) -> int | None:
    """The template's line that raised: jinja2 names its frames `<template>` or `<unknown>`."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
