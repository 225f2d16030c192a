"""Opening a model: every kind of place it can be, and a helpful error where there is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import save_file

from pellucid.errors import FormatError, ModelNotFoundError, PellucidError, UnsupportedError
from pellucid.weights.checkpoint import open_checkpoint

CONFIG = {"model_type": "llama", "hidden_size": 4, "time_step_limit": [0.0, float("inf")]}


def write_safetensors(path: Path, *names: str) -> None:
    save_file({name: torch.ones(2) for name in names}, path)


def write_config(folder: Path, name: str = "config.json", content: object = CONFIG) -> None:
    (folder / name).write_text(json.dumps(content))


def write_gguf(path: Path, **options: int) -> None:
    writer = GGUFWriter(path, "llama", **options)
    writer.add_tensor("a", np.ones(2, np.float32))
    writer.add_tensor("b", np.ones(2, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_sharded(folder: Path) -> None:
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for name, file in parts.items():
        write_safetensors(folder / file, name)
    write_config(folder, "model.safetensors.index.json", {"weight_map": parts})


# -- What is a model ------------------------------------------------------------------------------


def test_a_directory_with_safetensors_is_a_model(tmp_path):
    write_config(tmp_path)
    write_config(tmp_path, "generation_config.json", {"eos_token_id": 2})
    write_safetensors(tmp_path / "model.safetensors", "a")
    checkpoint = open_checkpoint(tmp_path)
    assert (checkpoint.path, checkpoint.format) == (tmp_path, "safetensors")
    assert checkpoint.metadata == CONFIG
    assert checkpoint.generation == {"eos_token_id": 2}
    assert list(checkpoint.tensors) == ["a"]


def test_a_directory_without_generation_config_has_none(tmp_path):
    write_config(tmp_path)
    write_safetensors(tmp_path / "weights.safetensors", "a")
    write_safetensors(tmp_path / "adapter_model.safetensors", "lora")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.generation == {}
    assert list(checkpoint.tensors) == ["a"]


def test_a_directory_with_shards_is_a_model(tmp_path):
    write_config(tmp_path)
    write_sharded(tmp_path)
    assert list(open_checkpoint(tmp_path).tensors) == ["a", "b"]


def test_one_shard_stands_for_the_whole_model(tmp_path):
    write_config(tmp_path)
    write_sharded(tmp_path)
    checkpoint = open_checkpoint(tmp_path / "model-00002-of-00002.safetensors")
    assert list(checkpoint.tensors) == ["a", "b"]


def test_a_safetensors_file_takes_the_config_beside_it(tmp_path):
    write_config(tmp_path)
    write_safetensors(tmp_path / "other.safetensors", "a")
    write_safetensors(tmp_path / "model.safetensors", "b")
    checkpoint = open_checkpoint(tmp_path / "other.safetensors")
    assert (list(checkpoint.tensors), checkpoint.metadata) == (["a"], CONFIG)


def test_a_gguf_file_is_a_model(smollm2):
    checkpoint = open_checkpoint(smollm2)
    assert (checkpoint.path, checkpoint.format) == (smollm2, "gguf")
    assert checkpoint.metadata["general.architecture"] == "llama"
    assert checkpoint.tensors["token_embd.weight"].shape == (49152, 576)
    assert checkpoint.generation == {}
    assert checkpoint.read("tokenizer.json") is None


def test_a_directory_with_one_gguf_is_a_model(tmp_path):
    write_config(tmp_path)
    write_gguf(tmp_path / "m.gguf")
    (tmp_path / "README.md").write_text("about it")
    assert open_checkpoint(tmp_path).path == tmp_path / "m.gguf"


def test_a_directory_with_one_split_gguf_is_a_model(tmp_path):
    write_gguf(tmp_path / "m.gguf", split_max_tensors=1)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.path.name == "m-00001-of-00002.gguf"
    assert list(checkpoint.tensors) == ["a", "b"]


def test_links_are_followed_as_the_hub_cache_needs(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    write_config(blobs, "1234")
    write_safetensors(blobs / "5678", "a")
    (snapshot / "config.json").symlink_to(blobs / "1234")
    (snapshot / "model.safetensors").symlink_to(blobs / "5678")
    for path in (snapshot, snapshot / "model.safetensors"):
        checkpoint = open_checkpoint(path)
        assert checkpoint.metadata == CONFIG
        assert checkpoint.read("config.json")


# -- What is not ----------------------------------------------------------------------------------


def several(folder: Path) -> None:
    write_gguf(folder / "one.gguf")
    write_gguf(folder / "two.gguf")


def pickled(folder: Path) -> None:
    write_config(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")


def no_config(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", "a")


def no_index(folder: Path) -> None:
    write_config(folder)
    write_safetensors(folder / "a.safetensors", "a")
    write_safetensors(folder / "b.safetensors", "b")


def adapter(folder: Path) -> None:
    write_config(folder, "adapter_config.json", {"r": 8})
    write_safetensors(folder / "adapter_model.safetensors", "lora")


def configured(content: bytes):
    def write(folder: Path) -> None:
        no_config(folder)
        (folder / "config.json").write_bytes(content)

    return write


def bad_generation(folder: Path) -> None:
    configured(b"{}")(folder)
    (folder / "generation_config.json").write_bytes(b"[]")


NOT_MODELS = {
    "an empty directory": (lambda folder: None, ModelNotFoundError, "the directory holds no files"),
    "a directory of other things": (
        lambda folder: (folder / "a.txt").write_text("a"), ModelNotFoundError, "no weights",
    ),
    "config alone": (write_config, ModelNotFoundError, "no weights"),
    "several GGUF files": (several, ModelNotFoundError, "name one of them: one.gguf, two.gguf"),
    "pickled weights": (pickled, UnsupportedError, "pytorch_model.bin: .*safe_serialization=True"),
    "no config": (no_config, FormatError, "config.json: missing; it describes the model"),
    "shards without index": (no_index, FormatError, "index.json: missing.*a.saf.*b.saf"),
    "an adapter": (adapter, UnsupportedError, "an adapter, not a whole model"),
    "config not JSON": (configured(b"{hidden: 1}"), FormatError, "config.json: not valid JSON"),
    "config a list": (configured(b"[]"), FormatError, "a JSON object is expected, not an array"),
    "config null": (configured(b"null"), FormatError, "object is expected, not null"),
    "config empty": (configured(b""), FormatError, "config.json: not valid JSON"),
    "config not UTF-8": (configured('{"a":"é"}'.encode("latin-1")), FormatError, "UTF-8 at byte 6"),
    "config in UTF-16": (configured("{}".encode("utf-16")), FormatError, "not UTF-8 at byte 0"),
    "config with a key twice": (
        configured(b'{"a": {"b": 1, "b": 2}}'), FormatError, '"b" comes twice in one object',
    ),
    "config nested 200,000 deep": (
        configured(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), FormatError, "too deeply",
    ),
    "config nested objects": (configured(b'{"a":' * 200_000), FormatError, "nested too deeply"),
    "config of 5 MB": (configured(b"{" + b" " * 5_000_000 + b"}"), FormatError, "at most 4194304"),
    "generation config a list": (bad_generation, FormatError, "generation_config.json: a JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("write", "error", "message"), NOT_MODELS.values(), ids=NOT_MODELS)
def test_what_is_no_model_is_refused_with_a_reason(tmp_path, write, error, message):
    write(tmp_path)
    with pytest.raises(error, match=message) as raised:
        open_checkpoint(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("model.bin", UnsupportedError, "pickled weights are not opened"),
        ("model.pt", UnsupportedError, "pickled weights are not opened"),
        ("model.txt", FormatError, "a model is a .gguf file, a .safetensors file or a directory"),
        ("model.gguf", FormatError, "not a GGUF file"),
        ("model.safetensors", FormatError, "config.json: missing"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path, name, error, message):
    (tmp_path / name).write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(error, match=message):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize("name", ["nothing", "nothing/at/all", "x" * 5000])
def test_a_path_where_nothing_is_is_refused(tmp_path, name):
    with pytest.raises(ModelNotFoundError):
        open_checkpoint(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "model.gguf")
    with pytest.raises(FormatError, match="not a file"):
        open_checkpoint(tmp_path / "model.gguf")


# -- Files beside the weights ---------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    configured(b"{}")(folder)
    (tmp_path / "secret").write_text("outside")
    return open_checkpoint(folder)


def test_small_files_are_read_and_missing_ones_are_none(beside):
    (beside.path / "tokenizer.json").write_bytes(b"\xff{}")
    (beside.path / "templates").mkdir()
    (beside.path / "templates" / "a.jinja").write_text("{{ a }}")
    assert beside.read("tokenizer.json") == b"\xff{}"
    assert beside.read("templates/a.jinja") == b"{{ a }}"
    assert beside.read("tokenizer.model") is None
    assert beside.read("templates") is None


@pytest.mark.parametrize(
    "name", ["../secret", "templates/../../secret", "/etc/passwd", "..\\secret", "C:\\a", "a\0b"]
)
def test_no_name_leads_out_of_the_directory(beside, name):
    with pytest.raises(FormatError, match="leads out of the model's directory"):
        beside.read(name)


def test_a_side_file_that_is_too_large_is_refused(beside):
    with (beside.path / "tokenizer.json").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(FormatError, match="at most 67108864 are read"):
        beside.read("tokenizer.json")


def test_every_error_is_one_that_a_user_can_catch():
    for error in (FormatError, ModelNotFoundError, UnsupportedError):
        assert issubclass(error, PellucidError)
