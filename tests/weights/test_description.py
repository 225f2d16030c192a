"""What `show` says of a model is what its files say."""

import hashlib
import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from pellucid.weights.description import describe
from pellucid.weights.references import parse


@pytest.fixture
def folder(tmp_path):
    """A tiny model directory."""
    save_file({"a.weight": np.zeros((4, 3), np.float32), "b": np.zeros(5, np.float16)},
              tmp_path / "model.safetensors")  # fmt: skip
    (tmp_path / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 77}')
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---")
    return tmp_path


def facts(path, **options):
    return describe(parse(str(path)), path, **options)


def test_a_directory_is_described(folder):
    found = facts(folder, tensors=True)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    size = (folder / "model.safetensors").stat().st_size
    expected = {
        "format": "safetensors", "architecture": "llama", "parameters": 17, "bytes": size,
        "kinds": {"F32": 1, "F16": 1}, "context_length": 77, "licence": "mit",
        "chat_template": False, "sha256": {"model.safetensors": digest},
    }  # fmt: skip
    assert expected.items() <= found.items()
    assert {"name": "a.weight", "kind": "F32", "shape": [4, 3], "bytes": 48} in found["tensors"]


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 9}}, 9),
        ({"max_position_embeddings": "many"}, None),
        ({}, None),
    ],
)
def test_the_context_is_found_under_any_familys_name(folder, config, context):
    (folder / "config.json").write_text(json.dumps(config))
    assert facts(folder)["context_length"] == context


@pytest.mark.parametrize(
    ("file", "text", "has"),
    [
        ("chat_template.jinja", "{{ messages }}", True),
        ("tokenizer_config.json", '{"chat_template": "x"}', True),
        ("tokenizer_config.json", "{}", False),
        ("tokenizer_config.json", "[" * 100_000, False),
    ],
)
def test_a_chat_template_is_found_in_either_place(folder, file, text, has):
    (folder / file).write_text(text)
    assert facts(folder)["chat_template"] is has


def test_of_two_formats_the_files_of_the_one_that_is_opened_are_counted(folder):
    (folder / "m.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    assert facts(folder)["sha256"].keys() == {"model.safetensors"}
    (folder / "config.json").unlink()
    assert facts(folder)["format"] == "gguf"
    assert facts(folder)["sha256"].keys() == {"m.gguf"}


def test_a_real_file_is_described(smollm2):
    found = facts(smollm2)
    attention, mlp = 2 * 576 * 576 + 2 * 192 * 576, 3 * 1536 * 576
    assert found["parameters"] == 49152 * 576 + 30 * (attention + mlp + 2 * 576) + 576
    assert found["kinds"] == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
    assert found["context_length"] == 8192
    assert found["architecture"] == "llama"
    assert found["chat_template"]
