"""Ids equal those of llama.cpp and of transformers, on texts chosen to be nasty."""

from __future__ import annotations

import re

import pytest

from .conftest import golden

# What llama.cpp makes of the file, except here: the file says that "</s>" is text to be matched
# as a whole (HTML's end of struck-through text, id 212, with "<s>" for its beginning, which
# llama.cpp does match), and Gemma's own tokenizer.json says so too. llama.cpp takes any token
# with this text for a control token.
NOT_AS_LLAMA_CPP = {("gemma3", "text", "chat")}

# What transformers makes of the GGUF files otherwise, and why it is not followed.
NOT_AS_TRANSFORMERS = {
    # It does not look at tokenizer.ggml.pre and so joins digits; SmolLM2 has no such pieces.
    "smollm2": {"digits"},
    # Runs of more than 31 spaces: the file has pieces of 2 to 31 spaces, spelled with spaces,
    # which are never matched once spaces are replaced; its own tokenizer.json agrees with us.
    # Typed "▁": it is joined with spaces beside it, although it is another character.
    # "</s>" as above.
    "gemma3": {"thirty-three spaces", "seventy spaces", "boxes", "underline piece", "chat"},
}


@pytest.fixture(params=["smollm2", "gemma3"])
def model(request):
    return request.param


@pytest.fixture
def tokenizer(model, smol, gemma):
    return {"smollm2": smol, "gemma3": gemma}[model]


@pytest.fixture(params=["text", "special"])
def part(request):
    """Special-token text as text, or as special tokens."""
    return request.param


def test_ids_equal_those_of_llama_cpp(model, part, tokenizer, corpus):
    theirs = golden(model)[part]
    ours = {
        name: tokenizer.encode(text, add_special_tokens=False, parse_special=part == "special")
        for name, text in corpus.items()
    }
    wrong = {name for name, ids in ours.items() if ids != theirs[name]}
    assert wrong == {name for m, p, name in NOT_AS_LLAMA_CPP if (m, p) == (model, part)}


def test_where_transformers_reads_the_file_otherwise_is_known(model, part):
    differs = set(golden(model)["transformers"][part])
    assert differs <= NOT_AS_TRANSFORMERS[model]
    if part == "text":
        assert differs == NOT_AS_TRANSFORMERS[model]


def test_a_bos_is_added_where_llama_cpp_adds_one(model, tokenizer):
    assert (tokenizer.bos_id in tokenizer.prefix) == golden(model)["add_bos"]


def test_no_piece_of_smollm2_joins_digits(smol):
    pieces = (smol.token_text(i) for i in range(smol.vocab_size))
    assert not [piece for piece in pieces if re.search("[0-9]{2}", piece)]


def test_struck_through_text_ends_as_gemma_learned_it(gemma):
    (end,) = gemma.encode("</s>", add_special_tokens=False)
    assert gemma.token_text(end) == "</s>"
    assert not gemma.is_special(end)
    assert end not in gemma.eos_ids
