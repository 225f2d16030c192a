"""A model's tokenizer, from whichever of its files describe one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pellucid.errors import FormatError, UnsupportedError
from pellucid.tokens.library import Added
from pellucid.tokens.special import Roles
from pellucid.tokens.spelling import BYTE_LEVEL, Spelling, sentencepiece
from pellucid.tokens.tokenizer import SpecialIds, Tokenizer
from pellucid.weights.checkpoint import Checkpoint
from pellucid.weights.strict_json import parse_object

# How the tokenizers that come as vocab.json and merges.txt split words: the `pre` of GGUF.
_CLASSES = {
    "GPT2Tokenizer": "gpt-2", "CodeGenTokenizer": "gpt-2", "PhiTokenizer": "gpt-2",
    "PreTrainedTokenizer": "gpt-2", "GPTNeoXTokenizer": "mpt", "Qwen2Tokenizer": "qwen2",
}  # fmt: skip


def load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer of a model: from the fields of a GGUF file, else from tokenizer.json, from
    SentencePiece's tokenizer.model, or from vocab.json with merges.txt, the first that is there.

    Raises FormatError where files are damaged or contradict each other, UnsupportedError for
    kinds of tokenizer that are not known and for those that could take for ever.
    """
    # Each way imports what it needs: numpy and msgspec take longer than most of the work.
    if checkpoint.format == "gguf":
        from pellucid.tokens import gguf  # noqa: PLC0415

        return gguf.tokenizer(checkpoint.metadata, checkpoint.path)
    for name, load in _FILES.items():
        data = checkpoint.read(name)
        if data is not None:
            return load(data, checkpoint, checkpoint.path / name)
    raise _none_found(checkpoint)


def _from_tokenizer_json(data: bytes, checkpoint: Checkpoint, path: Path) -> Tokenizer:
    from pellucid.tokens.tokenizer_json import read_tokenizer_json  # noqa: PLC0415

    roles = Roles.of(checkpoint)
    found = read_tokenizer_json(data, path, roles.added())
    special = roles.ids(found.library.id_of)
    tokenizer = Tokenizer(
        found.library, found.spelling, special, found.prefix, found.suffix, found.ranks
    )
    return _around(tokenizer, roles)


def _from_sentencepiece(data: bytes, checkpoint: Checkpoint, path: Path) -> Tokenizer:
    from pellucid.tokens import scored  # noqa: PLC0415
    from pellucid.tokens.sentencepiece import read_model  # noqa: PLC0415

    model = read_model(data, path)
    roles = Roles.of(checkpoint)
    vocabulary = model.vocabulary
    library = scored.library_of(path, vocabulary, roles.added())
    own = SpecialIds(model.bos_id, model.eos_id, model.pad_id, model.unk_id)
    is_bpe = vocabulary.method == "bpe"
    special = roles.ids(library.id_of, own)
    tokenizer = Tokenizer(
        library,
        Spelling(sentencepiece, leading_space=vocabulary.space_prefix),
        special,
        # Llama's, Mistral's and Gemma's begin with BOS; T5's, a unigram model, ends with EOS.
        prefix=_one(special.bos_id if is_bpe else None),
        suffix=_one(None if is_bpe else special.eos_id),
        ranks=(lambda: scored.rank_of(vocabulary, library)) if is_bpe else None,
    )
    return _around(tokenizer, roles)


def _from_vocab_json(data: bytes, checkpoint: Checkpoint, path: Path) -> Tokenizer:
    from pellucid.tokens import bytelevel  # noqa: PLC0415
    from pellucid.tokens.merges import rank_in  # noqa: PLC0415
    from pellucid.tokens.pretokenizers import pre_named  # noqa: PLC0415

    roles = Roles.of(checkpoint)
    pre = pre_named(_way_of(roles.config.get("tokenizer_class"), path), path)
    vocab = bytelevel.vocab_of(parse_object(data, path), path)
    text = checkpoint.read("merges.txt")
    if text is None:
        raise FormatError(path.parent / "merges.txt", "", "missing, but vocab.json is there")
    merges = bytelevel.merges_of(text, path.parent / "merges.txt")
    added = roles.added() or _end_of_text(vocab)
    library = bytelevel.library_of(path, vocab, merges, added, pre)
    special = roles.ids(library.id_of, _gpt2_ids(library.id_of("<|endoftext|>")))
    tokenizer = Tokenizer(library, BYTE_LEVEL, special, ranks=lambda: rank_in(merges))
    return _around(tokenizer, roles)


_FILES = {
    "tokenizer.json": _from_tokenizer_json,
    "tokenizer.model": _from_sentencepiece,
    "vocab.json": _from_vocab_json,
}


def _way_of(kind: object, path: Path) -> str:
    """The name of the way to split words that a tokenizer class of transformers has."""
    name = "GPT2Tokenizer" if kind is None else str(kind).removesuffix("Fast")
    if name not in _CLASSES:
        reason = f"{kind!r:.60} cannot be made of vocab.json and merges.txt; tokenizer.json can"
        raise UnsupportedError(f"{path.parent}: tokenizer_config.json: {reason} be used instead")
    return _CLASSES[name]


def _around(tokenizer: Tokenizer, roles: Roles) -> Tokenizer:
    """With what tokenizer_config.json says about BOS and EOS, which counts for more."""
    bos, eos = roles.flag("add_bos_token"), roles.flag("add_eos_token")
    prefix = tokenizer.prefix if bos is None else _one(tokenizer.bos_id if bos else None)
    suffix = tokenizer.suffix if eos is None else _one(tokenizer.eos_id if eos else None)
    return replace(tokenizer, prefix=prefix, suffix=suffix)


def _one(token_id: int | None) -> tuple[int, ...]:
    return () if token_id is None else (token_id,)


def _end_of_text(vocab: dict[str, int]) -> list[Added]:
    """GPT-2's only special token, which its files do not list."""
    name = "<|endoftext|>"
    return [Added(vocab[name], name, special=True)] if name in vocab else []


def _gpt2_ids(token_id: int | None) -> SpecialIds:
    ends = _one(token_id)
    return SpecialIds(bos_id=token_id, eos_id=token_id, eos_ids=ends)


def _none_found(checkpoint: Checkpoint) -> FormatError | UnsupportedError:
    if checkpoint.read("tekken.json") is not None:
        return UnsupportedError(
            f"{checkpoint.path}: tekken.json is not supported; put the model's tokenizer.json there"
        )
    names = ", ".join(_FILES)
    return FormatError(checkpoint.path, "", f"no tokenizer: none of {names} (with merges.txt)")
