"""A trace comes back from its file as it went in; what is no trace is told so."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import nullcontext
from dataclasses import asdict, replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from pellucid.errors import FormatError, ParameterError, UnsupportedError
from pellucid.trace.file import KEY, is_trace, open_trace, save
from pellucid.trace.trace import Reading, Trace

from .conftest import CHANGED, CONFIG, ORIGIN, PROMPT

PLAIN = Trace(ORIGIN, PROMPT, len(PROMPT), {token: bytes([token]) for token in PROMPT})


def equal(one: Trace, other: Trace) -> bool:
    """Whether two traces say the same, to the last bit."""
    told = ("origin", "ids", "prompt_length", "words", "messages", "template", "generation")
    assert [getattr(one, name) for name in told] == [getattr(other, name) for name in told]
    assert json.dumps([one.parameters, one.edits]) == json.dumps([other.parameters, other.edits])
    return _arrays(one) == _arrays(other)


def _arrays(trace: Trace) -> list[object]:
    readings = [
        (r.name, r.arguments, {n: _bits(a) for n, a in r.arrays.items()}) for r in trace.readings
    ]
    return [{site: _bits(value) for site, value in trace.values.items()}, readings]


def _bits(array: np.ndarray) -> tuple[object, ...]:
    return array.shape, array.dtype.str, array.tobytes()


def test_all_that_is_in_a_trace_comes_back(trace, tmp_path):
    save(trace, tmp_path / "a.trace")
    assert equal(open_trace(tmp_path / "a.trace"), trace)


def test_a_text_that_was_only_read_comes_back(tmp_path):
    save(PLAIN, tmp_path / "a.trace")
    assert equal(open_trace(tmp_path / "a.trace"), PLAIN)


@pytest.mark.parametrize(
    "given",
    [
        {"num_beams": 3, "num_return_sequences": 2},
        {"temperature": 1.5, "num_return_sequences": 3, "seed": 1},
        {"prompt_lookup_num_tokens": 3},
        {"temperature": 1.3, "seed": 2, "prompt_lookup_num_tokens": 3, "stop": ["q"]},
        {"ledger": 0},
        {"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 0.5},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
    ],
    ids=str,
)
def test_an_answer_comes_back_with_ledgers_alternatives_and_tree(given, answered, tmp_path):
    generation = answered(max_new_tokens=8, **given)
    words = dict.fromkeys(range(256), b"x")
    ids = PROMPT + generation.ids
    save(Trace(ORIGIN, ids, len(PROMPT), words, generation=generation), tmp_path / "a.trace")
    back = open_trace(tmp_path / "a.trace").generation
    assert back == generation
    for one, other in zip(back.tokens, generation.tokens, strict=True):
        assert (one.ledger is None) == (other.ledger is None)
        if one.ledger:
            assert one.ledger.landed == other.ledger.landed
            assert one.ledger.removed_by == other.ledger.removed_by


def test_the_file_is_safetensors_that_anyone_can_read(trace, tmp_path):
    save(trace, tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    assert tensors["ids"].tolist() == list(trace.ids)
    assert np.array_equal(tensors["values/embed"], trace.values["embed"])
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        header = json.loads(file.metadata()[KEY])
    assert header["text"] == trace.text
    assert header["origin"]["config"]["heads"] == CONFIG.heads


def test_numbers_that_json_cannot_hold_come_back(tmp_path):
    odd = np.float32([-np.inf, np.nan, -0.0])
    asked = {"token": 5, "position": 3, "by": "zero", "places": [0, 1, 2]}
    one = np.zeros(1, np.float32)
    arrays = {"places": np.arange(3), "logits": odd, "logprobs": odd, "logit": one, "logprob": one,
              "target_ids": np.array([5]), "by_ids": np.empty(0, np.int64)}  # fmt: skip
    save(PLAIN.with_reading(Reading("occlusion", asked, arrays), {}), tmp_path / "a.trace")
    (reading,) = open_trace(tmp_path / "a.trace").readings
    assert _bits(reading.arrays["logits"]) == _bits(odd)


def test_what_is_there_is_replaced_by_a_whole_file_only(trace, tmp_path, monkeypatch):
    path = tmp_path / "a.trace"
    save(PLAIN, path)

    def fail(file, tensors, metadata):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pellucid.trace.file.write_annotated", fail)
    with pytest.raises(OSError, match="No space"):
        save(trace, path)
    assert equal(open_trace(path), PLAIN)
    assert [file.name for file in tmp_path.iterdir()] == ["a.trace"]


def test_who_may_read_a_trace_is_the_systems_matter(tmp_path):
    (tmp_path / "other").write_text("")
    save(PLAIN, tmp_path / "a.trace")
    assert (tmp_path / "a.trace").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_saving_takes_no_second_copy_of_the_values(tmp_path):
    wide = replace(CONFIG, hidden_size=1 << 19)
    shape = (len(PROMPT), wide.hidden_size)
    values = {"embed": np.ones(shape, np.float32), "final_norm": np.zeros(shape, np.float32)}
    large = replace(PLAIN, origin=replace(ORIGIN, config=wide), values=values)
    tracemalloc.start()
    save(large, tmp_path / "a.trace")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert equal(open_trace(tmp_path / "a.trace"), large)


def test_a_folder_that_is_not_there_is_an_error_of_the_disk(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        save(PLAIN, tmp_path / "absent" / "a.trace")


def test_more_text_than_a_header_holds_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="7 MiB of text"):
        save(replace(PLAIN, edits=["x" * (7 << 20)]), tmp_path / "a.trace")
    assert not list(tmp_path.iterdir())


def test_other_safetensors_are_no_trace(tmp_path):
    save_file({"x": np.zeros(3)}, tmp_path / "model.safetensors")
    assert not is_trace(tmp_path / "model.safetensors")
    assert not is_trace(tmp_path / "absent")
    with pytest.raises(FormatError, match="is no trace"):
        open_trace(tmp_path / "model.safetensors")


def rewritten(tmp_path, tensors=None, **changes):
    """A trace in a file, of which something was changed."""
    path = tmp_path / "a.trace"
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()[KEY])
        data = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, value in changes.items():
        header[name] = value
    data |= tensors or {}
    kept = {name: array for name, array in data.items() if array is not None}
    save_file(kept, path, {KEY: json.dumps(header)})
    return path


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_told_so(version, trace, tmp_path):
    save(trace, tmp_path / "a.trace")
    path = rewritten(tmp_path, version=version, new_field=1)
    assert is_trace(path)
    with pytest.raises(UnsupportedError, match=f"version {version}; this Pellucid reads version 2"):
        open_trace(path)


@pytest.mark.parametrize(
    ("tensors", "changes", "told"),
    [
        ({}, {"prompt_length": 0}, "a prompt of 0"),
        ({}, {"prompt_length": 99}, "a prompt of 99"),
        ({}, {"prompt_length": "7"}, "Expected `int`"),
        ({}, {"origin": {}}, "missing required field"),
        ({}, {"edits": [{"site": "embed", "change": {"name": "run"}}]}, "is no change"),
        ({}, {"edits": [{"change": "f"}]}, "edit 0 has no site"),
        ({}, {"edits": [{"site": 7, "change": "f"}]}, "edit 0"),
        ({}, {"edits": [{"site": "x", "change": "f"}]}, "edit 0: 'x' is no site"),
        ({}, {"edits": [{"site": "x", "change": {"name": "zero"}}]}, "edit 0: 'x' is no site"),
        ({}, {"edits": [{"site": "embed", "change": "f", "positions": "x"}]}, "edit 0"),
        ({}, {"edits": [7]}, "edit"),
        ({}, {"edits": "x" * 9}, "Expected `array`"),
        ({"ids": None}, {}, "ids is missing"),
        (
            {"ids": np.array([1 << 40]), "values/embed": None},
            {"prompt_length": 1, "generation": None},
            "has no bytes",
        ),
        ({"words.ends": np.zeros(1, np.int64)}, {}, "do not part"),
        ({"values/embed": np.zeros((2, 8), np.float32)}, {}, "not float32 [13, 8]"),
        ({"values/layers.9.x": np.zeros((13, 8), np.float32)}, {}, "x"),
        ({"values/embed": np.zeros((13, 8))}, {}, "float64"),
        ({"values/embed": np.zeros((13, 8), np.float16)}, {}, "kind F16"),
        ({"generation/0.probs": np.zeros(2)}, {}, "zip"),
        ({"generation/0.ledger.ids": None}, {}, "is missing"),
        ({"generation/0.ledger.logsumexp": np.zeros(1)}, {}, "out of bounds"),
        ({"generation/0.ledger.followed": np.array([-1, 1])}, {}, "as many as were followed"),
        ({"generation/0.ledger.scores": np.zeros(2)}, {}, "scores or ranks missing"),
        ({"generation/0.ledger.tokens": np.full(6, 300)}, {}, "does not follow its token"),
        ({"generation/0.ledger.below": np.full(6, np.nan)}, {}, "where it fell"),
        ({"generation/0.token_ids": np.zeros(6)}, {}, "not a column of whole numbers"),
        ({"generation/0.probs": np.full(6, 1, np.int64)}, {}, "not a column of numbers"),
        ({"generation/0.ids": np.zeros(1, np.int64)}, {}, "not those of the answer"),
        ({"ids": np.zeros(13)}, {}, "not a column of whole numbers"),
        ({}, {"text": "another"}, "not that of its tokens"),
        ({}, {"parameters": {"prompt": 1}}, "no such parameter"),
        ({}, {"readings": [{"name": "os", "arguments": {}}]}, "must be one of next"),
        ({}, {"readings": [{"name": "next", "arguments": {"top": 10**9}}]}, "top"),
        (
            {},
            {"readings": [{"name": "next", "arguments": {"tops": 1}}]},
            "takes no argument 'tops'",
        ),
        ({"values/layers.00.resid_pre": np.zeros((13, 8), np.float32)}, {}, "is no site"),
    ],
    ids=str,
)
def test_a_damaged_trace_is_refused_in_one_line(tensors, changes, told, trace, tmp_path):
    save(trace, tmp_path / "a.trace")
    path = rewritten(tmp_path, tensors, **changes)
    with pytest.raises(FormatError, match=r"pellucid\.trace") as caught:
        open_trace(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_of_an_edited_run_need_only_be_finite(tmp_path):
    huge = {"embed": np.full((len(PROMPT), 8), 3e38, np.float32)}
    for edits, fine in (([CHANGED], True), ([], False)):
        save(replace(PLAIN, values=huge, edits=edits), tmp_path / "a.trace")
        opened = open_trace(tmp_path / "a.trace")
        with nullcontext() if fine else pytest.raises(FormatError, match="values/embed"):
            opened.value("embed")


def test_a_file_is_not_blamed_for_values_that_were_computed_since(tmp_path):
    save(PLAIN, tmp_path / "a.trace")
    computed = {"embed": np.full((len(PROMPT), 8), np.inf, np.float32)}
    assert np.isinf(open_trace(tmp_path / "a.trace").with_values(computed).value("embed")).all()


def test_more_layers_than_are_described_are_not_counted(trace, tmp_path):
    save(trace, tmp_path / "a.trace")
    origin = {"name": "x", "fingerprint": "f", "backend": "native", "settings": {}}
    path = rewritten(tmp_path, origin=origin | {"config": asdict(CONFIG) | {"layers": 1 << 40}})
    with pytest.raises(FormatError, match=r"layers 1099511627776, not 1 to"):
        open_trace(path)


def test_more_tokens_than_the_context_has_are_refused(tmp_path):
    ids = PROMPT * 10
    save(Trace(ORIGIN, ids, len(ids), PLAIN.words), tmp_path / "a.trace")
    with pytest.raises(FormatError, match="70 tokens, and a context of 64"):
        open_trace(tmp_path / "a.trace")


def test_a_token_beyond_the_vocabulary_is_refused(tmp_path):
    save(Trace(ORIGIN, (256,), 1, {256: b"x"}), tmp_path / "a.trace")
    with pytest.raises(FormatError, match="token 256"):
        open_trace(tmp_path / "a.trace")


def test_tokens_that_share_bytes_are_refused_before_they_fill_the_memory(tmp_path):
    save(PLAIN, tmp_path / "a.trace")
    ends = np.array([7, 0] * (1 << 10) + [7])
    ids = np.arange(len(ends))
    path = rewritten(tmp_path, {"words.ends": ends, "words.ids": ids})
    with pytest.raises(FormatError, match="do not part"):
        open_trace(path)


def test_a_tree_without_a_root_or_of_unknown_fates_is_refused(answered, tmp_path):
    generation = answered(max_new_tokens=3, num_beams=2)
    words = dict.fromkeys(range(256), b"x")
    run = Trace(ORIGIN, PROMPT + generation.ids, len(PROMPT), words, generation=generation)
    for name, value in (("parents", -1), ("parents", 99), ("fates", -1), ("logprobs", 1.0)):
        save(run, tmp_path / "a.trace")
        size = len(generation.tree.nodes)
        path = rewritten(tmp_path, {f"generation/tree.{name}": np.full(size, value)})
        with pytest.raises(FormatError, match=r"root|parent|fate|certain"):
            open_trace(path)


def test_json_that_never_ends_its_brackets_is_refused(tmp_path):
    save(PLAIN, tmp_path / "a.trace")
    data = load_file(tmp_path / "a.trace")
    deep = '{"version": 2, "messages": ' + "[" * 100_000 + "]" * 100_000 + "}"
    save_file(data, tmp_path / "a.trace", {KEY: deep})
    with pytest.raises(FormatError, match="recursion"):
        open_trace(tmp_path / "a.trace")
