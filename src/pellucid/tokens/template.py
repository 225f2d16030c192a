"""Chat templates: a conversation becomes the text that the model was trained to continue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pellucid.errors import TemplateError
from pellucid.tokens.conversation import Message, plain, plain_messages
from pellucid.tokens.template_files import found
from pellucid.tokens.template_process import Limits, TemplateProcess
from pellucid.weights.checkpoint import Checkpoint

_LONGEST_SOURCE_BYTES = 1 << 20  # the longest in use are near 30 kB

# Private use, plane 15, as in transformers: characters that no text needs.
_OPEN, _CLOSE = "\U000f0000", "\U000f0001"


class ChatTemplate:
    """A model's chat template (Jinja), rendered to the letter as transformers renders it.

    A template is a program by whoever made the model. It runs in jinja2's sandbox, in a process of
    its own, within `limits` of time, text and memory. The process starts with the first rendering
    and ends with this object, or at `close`.

    `special_tokens` are texts that templates refer to by name, such as `bos_token`. `tool_use` is
    the template for conversations with tools, of models that have a separate one.

    >>> source = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"
    >>> template = ChatTemplate(source, bos_token="<s>")
    >>> template.render([{"role": "user", "content": "Hello"}])
    '<s>[Hello]'
    """

    def __init__(
        self,
        source: str,
        *,
        tool_use: str | None = None,
        limits: Limits | None = None,
        **special_tokens: str | None,
    ) -> None:
        self.source = source
        self.tool_use = tool_use
        self.limits = limits or Limits()
        self.special_tokens = {k: v for k, v in special_tokens.items() if v is not None}
        self._processes: dict[str, TemplateProcess] = {}

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> str:
        """The conversation as text, ready to be tokenized with its special tokens.

        `messages` are `{"role", "content"}` each; content is text, or a list of parts with a
        "type". `add_generation_prompt` opens the model's answer. `tools` are JSON schemas.
        `variables` are what this template reads besides, such as `enable_thinking`.

        Raises ParameterError for messages that are not such, and for tools or variables that the
        template does not read; TemplateError if it is not valid, refuses, or exceeds a limit.
        """
        return self._render(
            plain_messages(messages), add_generation_prompt, plain("tools", tools), variables
        )

    def render_pieces(
        self,
        messages: Sequence[Message],
        control: Iterable[str],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **variables: Any,
    ) -> list[tuple[str, bool]]:
        """As `render`, in pieces: the text, and whether special tokens in it are meant as such.

        A user may type `<|im_end|>`. Wherever one of the `control` texts comes from the messages,
        tools or variables, it makes a piece of its own with False, to be encoded as plain text.

        >>> template = ChatTemplate("{% for m in messages %}{{ m.content }}<end>{% endfor %}")
        >>> template.render_pieces([{"role": "user", "content": "Say <end>!"}], ["<end>"])
        [('Say ', True), ('<end>', False), ('!<end>', True)]
        """
        anything = "|".join(map(re.escape, sorted(control, key=len, reverse=True))) or "(?!)"
        marked = _mark(
            [plain_messages(messages), plain("tools", tools), plain("variables", variables)],
            re.compile(anything),
        )
        text = self._render(marked[0], add_generation_prompt, marked[1], marked[2])
        return _pieces(text, anything)

    def __enter__(self) -> ChatTemplate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that this template started."""
        for process in self._processes.values():
            process.close()
        self._processes.clear()

    def _render(
        self,
        messages: list[dict[str, Any]],
        add_generation_prompt: bool,
        tools: Any,
        variables: Mapping[str, Any],
    ) -> str:
        given = [*variables, "tools"] if tools is not None else [*variables]
        values = {
            **self.special_tokens,
            "documents": None,
            **{name: plain(name, value) for name, value in variables.items()},
            "messages": messages,
            "tools": tools,
            "add_generation_prompt": add_generation_prompt,
        }
        source = self.tool_use if tools is not None and self.tool_use is not None else self.source
        return self._process(source).render(values, given)

    def _process(self, source: str) -> TemplateProcess:
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > _LONGEST_SOURCE_BYTES:
            raise TemplateError(
                f"the chat template is {size:,} bytes long; the limit is {_LONGEST_SOURCE_BYTES:,}"
            )
        return self._processes.setdefault(source, TemplateProcess(source, self.limits))


def _mark(value: Any, control: re.Pattern[str]) -> Any:
    """The same data with marks around each control text; marks typed by somebody are dropped."""
    if isinstance(value, str):
        clean = value.replace(_OPEN, "").replace(_CLOSE, "")
        return control.sub(f"{_OPEN}\\g<0>{_CLOSE}", clean)
    if isinstance(value, dict):
        return {_mark(key, control): _mark(item, control) for key, item in value.items()}
    return [_mark(item, control) for item in value] if isinstance(value, list) else value


def _pieces(text: str, control: str) -> list[tuple[str, bool]]:
    # A template that splits a string may part a mark from its control text. The lone mark is
    # dropped, but still separates, so that its two sides cannot join into a control text.
    split = re.split(f"{_OPEN}({control}){_CLOSE}|[{_OPEN}{_CLOSE}]", text)
    return [(piece, at % 2 == 0) for at, piece in enumerate(split) if piece]


def chat_template(checkpoint: Checkpoint) -> ChatTemplate | None:
    """The chat template that comes with a model, or None where there is none.

    Where it is looked for, and what is refused: `template_files.found`.
    """
    known = found(checkpoint)
    if known is None:
        return None
    return ChatTemplate(known.source, tool_use=known.tool_use, limits=None, **known.special_tokens)
