"""A model's chat template is found where transformers finds it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from pellucid.errors import FormatError
from pellucid.tokens.template import chat_template
from pellucid.weights.checkpoint import Checkpoint

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
SOURCE = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}"
NAMED = [
    {"name": "default", "template": f"default {SOURCE}"},
    {"name": "tool_use", "template": "tools {{ tools | length }}"},
]


def _checkpoint(
    folder: Path, metadata: dict[str, Any], form: Literal["safetensors", "gguf"]
) -> Checkpoint:
    def read(name: str) -> bytes | None:
        file = folder / name
        return file.read_bytes() if file.exists() else None

    return Checkpoint(folder, form, metadata, {}, {}, read)


def directory(folder: Path, config: object, jinja: str | None = None) -> Checkpoint:
    folder.joinpath("tokenizer_config.json").write_text(json.dumps(config))
    if jinja is not None:
        folder.joinpath("chat_template.jinja").write_text(jinja)
    return _checkpoint(folder, {}, "safetensors")


def gguf(folder: Path, **metadata: Any) -> Checkpoint:
    return _checkpoint(folder, {f"tokenizer.{k}": v for k, v in metadata.items()}, "gguf")


def rendered_by_transformers(folder: Path, tools: Any) -> str:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    Tokenizer(models.BPE()).save(str(folder / "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return str(tokenizer.apply_chat_template(HELLO, tools=tools, tokenize=False))


PLACES: dict[str, tuple[dict[str, Any], str | None]] = {
    "a text": ({"chat_template": SOURCE, "bos_token": "<s>", "eos_token": "</s>"}, None),
    "a list of named texts": ({"chat_template": NAMED, "eos_token": "."}, None),
    "a file": ({"bos_token": "<s>"}, f"file {SOURCE}\n"),
    "a file before all else": ({"chat_template": NAMED, "bos_token": "<s>"}, f"file {SOURCE}"),
    "special tokens as objects": (
        {
            "chat_template": SOURCE,
            "bos_token": {"__type": "AddedToken", "content": "<s>", "special": True},
            "pad_token": None,
            "add_bos_token": True,
        },
        None,
    ),
    "a token of this model": ({"chat_template": "{{ image_token }}", "image_token": "<i>"}, None),
}


@pytest.mark.parametrize(("config", "jinja"), PLACES.values(), ids=PLACES)
def test_a_directory_gives_what_transformers_finds(
    tmp_path: Path, config: dict[str, Any], jinja: str | None
) -> None:
    template = chat_template(directory(tmp_path, config, jinja))
    assert template is not None
    with template:
        text = template.render(HELLO, add_generation_prompt=False)
    assert text == rendered_by_transformers(tmp_path, None)


def test_the_template_for_tools_is_used_with_tools(tmp_path: Path) -> None:
    template = chat_template(directory(tmp_path, {"chat_template": NAMED}))
    assert template is not None
    with template:
        text = template.render(HELLO, tools=TOOLS)
    assert text == "tools 1" == rendered_by_transformers(tmp_path, TOOLS)


def test_a_model_without_a_template_has_none(tmp_path: Path) -> None:
    assert chat_template(_checkpoint(tmp_path, {}, "safetensors")) is None
    assert chat_template(directory(tmp_path, {"bos_token": "<s>"})) is None
    assert chat_template(gguf(tmp_path)) is None


def test_special_tokens_may_stand_in_their_own_file(tmp_path: Path) -> None:
    checkpoint = directory(tmp_path, {"chat_template": SOURCE, "eos_token": "new"})
    special = {"bos_token": {"content": "<s>"}, "eos_token": "old"}
    tmp_path.joinpath("special_tokens_map.json").write_text(json.dumps(special))
    template = chat_template(checkpoint)
    assert template is not None
    assert template.special_tokens == {"bos_token": "<s>", "eos_token": "new"}


def test_a_gguf_file_brings_its_template_and_its_tokens(tmp_path: Path) -> None:
    tmp_path.joinpath("chat_template.jinja").write_text("of another model")
    metadata = {
        "chat_template": SOURCE,
        "chat_template.tool_use": "tools",
        "ggml.tokens": ["<unk>", "<s>", "</s>"],
        "ggml.bos_token_id": 1,
        "ggml.eos_token_id": 2,
    }
    template = chat_template(gguf(tmp_path, **metadata))
    assert template is not None
    assert (template.source, template.tool_use) == (SOURCE, "tools")
    assert template.special_tokens == {"bos_token": "<s>", "eos_token": "</s>"}


WRONG_CONFIGS = {
    "a number": (7, "is not a text but int"),
    "no default": ([NAMED[1]], "has no default among: tool_use"),
    "an empty list": ([], "has no default among: nothing"),
    "an entry that is text": (["x"], "an entry is not {name, template}"),
    "an entry without template": (
        [{"name": "default", "x": 1}],
        "an entry is not {name, template}",
    ),
    "a template that is a number": (
        [{"name": "default", "template": 1}],
        "default: is not a text but int",
    ),
}


@pytest.mark.parametrize(("value", "error"), WRONG_CONFIGS.values(), ids=WRONG_CONFIGS)
def test_something_else_in_its_place_is_named(tmp_path: Path, value: object, error: str) -> None:
    with pytest.raises(FormatError, match=f"tokenizer_config.json: chat_template: {error}"):
        chat_template(directory(tmp_path, {"chat_template": value}))


WRONG_BYTES = {
    "not JSON": (b"{", "tokenizer_config.json: not valid JSON"),
    "a list": (b"[]", "tokenizer_config.json: a JSON object is expected"),
    "not UTF-8": (b'{"\xff"}', "tokenizer_config.json: not UTF-8 at byte 2"),
    "nested": (b"[" * 200_000, "tokenizer_config.json: not valid JSON"),
}


@pytest.mark.parametrize(("data", "error"), WRONG_BYTES.values(), ids=WRONG_BYTES)
def test_a_broken_file_is_named(tmp_path: Path, data: bytes, error: str) -> None:
    checkpoint = directory(tmp_path, {})
    tmp_path.joinpath("tokenizer_config.json").write_bytes(data)
    with pytest.raises(FormatError, match=error):
        chat_template(checkpoint)


@pytest.mark.parametrize("index", [-1, 3, "x", [1], float("inf")])
def test_a_special_token_outside_the_vocabulary_is_named(tmp_path: Path, index: object) -> None:
    metadata = {"chat_template": SOURCE, "ggml.tokens": ["a", "b", "c"], "ggml.bos_token_id": index}
    with pytest.raises(FormatError, match="bos_token_id: there is no token"):
        chat_template(gguf(tmp_path, **metadata))
