"""A measured plan: its bytes and arithmetic are those of the model's numbers, by closed formula."""

import json
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from pellucid.backends.measure import measure, memory_limit, work
from pellucid.backends.native import Native
from pellucid.backends.reference import Reference
from pellucid.errors import BackendError, ParameterError
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint

HIDDEN, MLP, LAYERS, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 64, 96, 3, 4, 2, 16, 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama model of random numbers, with an output matrix of its own."""
    rng = np.random.default_rng(0)
    shapes = {
        "model.embed_tokens": (VOCAB, HIDDEN),
        "lm_head": (VOCAB, HIDDEN),
        "model.norm": (HIDDEN,),
    }
    for i in range(LAYERS):
        block = f"model.layers.{i}"
        shapes |= {
            f"{block}.{n}": (HIDDEN,) for n in ("input_layernorm", "post_attention_layernorm")
        }
        for name, rows in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            shapes[f"{block}.self_attn.{name}_proj"] = (rows * HEAD_DIM, HIDDEN)
        shapes[f"{block}.self_attn.o_proj"] = (HIDDEN, HEADS * HEAD_DIM)
        for name, shape in (
            ("gate", (MLP, HIDDEN)),
            ("up", (MLP, HIDDEN)),
            ("down", (HIDDEN, MLP)),
        ):
            shapes[f"{block}.mlp.{name}_proj"] = shape
    made = tmp_path_factory.mktemp("tiny")
    numbers = {f"{n}.weight": rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    save_file(numbers, made / "model.safetensors")
    config = {
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": MLP, "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }  # fmt: skip
    (made / "config.json").write_text(json.dumps(config))
    return made


@pytest.fixture(scope="module")
def model(folder):
    return Model.open(open_checkpoint(folder), Native(threads=1))


BLOCK = HIDDEN * HEAD_DIM * (2 * HEADS + 2 * KV_HEADS) + 3 * HIDDEN * MLP  # weights of a layer


def of_kind(plan, kind):
    return [operation for operation in plan.operations if operation.kind == kind]


@pytest.mark.parametrize("rows", [1, 7])
def test_matrices_are_read_once_a_pass_and_cost_two_operations_a_weight_and_row(model, rows):
    linear = of_kind(measure(model, context=5, rows=rows, seconds=0), "linear")
    assert sum(o.bytes for o in linear) == 4 * (LAYERS * BLOCK + VOCAB * HIDDEN)
    # Of a prompt only the last row's logits are wanted.
    assert sum(o.arithmetic for o in linear) == 2 * (rows * LAYERS * BLOCK + VOCAB * HIDDEN)


def test_attention_reads_keys_and_values_in_half_precision_and_meets_each_pair_once(model):
    attend = of_kind(measure(model, context=5, rows=7, seconds=0), "attend")
    assert len(attend) == LAYERS
    assert {o.bytes for o in attend} == {2 * 2 * KV_HEADS * HEAD_DIM * 12}
    pairs = 6 + 7 + 8 + 9 + 10 + 11 + 12
    assert {o.arithmetic for o in attend} == {2 * 2 * HEADS * HEAD_DIM * pairs}


@pytest.mark.parametrize(("context", "rows"), [(0, 1), (3, 1), (9, 1), (0, 6), (2, 9)])
def test_a_window_bounds_what_attention_meets(context, rows):
    window = 4
    met = [
        {key for key in range(position + 1) if position - key < window}
        for position in range(context, context + rows)
    ]
    entry = {"kind": "attend", "wanted": False, "window": window, "key_bytes": 10, "width": 8}
    assert work(entry, rows, context) == (10 * len(set.union(*met)), 4 * 8 * sum(map(len, met)))


def test_of_a_mixture_the_chosen_experts_are_counted():
    entry = {
        "kind": "experts",
        "wanted": False,
        "experts": 8,
        "chosen": 2,
        "bytes": 800,
        "numbers": 80,
    }
    assert work(entry, 1, 0) == (200, 2 * 20)
    assert work(entry, 3, 0) == (600, 2 * 20 * 3)
    assert work(entry, 5, 0) == (800, 2 * 20 * 5)


def test_an_embedding_reads_the_rows_of_its_tokens(model):
    plan = measure(model, context=0, rows=3, seconds=0)
    assert [o.bytes for o in of_kind(plan, "embed")] == [3 * 4 * HIDDEN]


def test_times_are_measured_and_waiting_is_a_part_of_them(model):
    plan = measure(model, context=20, rows=5, seconds=0)
    assert all(0 <= o.waited <= o.seconds for o in plan.operations)
    assert sum(o.seconds for o in plan.operations) > 0
    assert (plan.rows, plan.context, plan.threads) == (5, 20, 1)
    assert model.run.plan.measuring is False


@pytest.mark.parametrize("threads", [1, 2])
def test_the_times_of_operations_add_up_to_less_than_the_call(folder, threads):
    model = Model.open(open_checkpoint(folder), Native(threads=threads))
    plan = model.run.plan
    plan.measuring = True
    start = time.perf_counter()
    model.forward(Run([Segment([1, 2, 3])]))
    taken = time.perf_counter() - start
    assert 0 < sum(entry["seconds"] for entry in plan.describe()) < taken


@pytest.mark.parametrize(
    ("lengths", "named"),
    [
        ({"rows": 0}, "rows"),
        ({"rows": 257}, "rows"),
        ({"context": -1}, "context"),
        ({"context": 512}, "context.*512"),
    ],
)
def test_lengths_without_room_are_refused(model, lengths, named):
    with pytest.raises(ParameterError, match=named):
        measure(model, **lengths)


def test_only_the_native_backend_has_a_plan(folder):
    with pytest.raises(BackendError, match="the reference backend has no plan"):
        measure(Model.open(open_checkpoint(folder), Reference()))


def test_the_memory_limit_is_in_bytes_a_second():
    assert 1e8 < memory_limit(1) < 1e13


@pytest.mark.parametrize("wrong", [(1, 1, 1), (1 << 40, 1, 1), (1 << 20, 0, 1), (1 << 20, 1, 0)])
def test_reading_memory_has_bounds(wrong):
    from pellucid.backends._native import read_bandwidth

    with pytest.raises(ValueError, match="1 MiB to 4 GiB"):
        read_bandwidth(*wrong)
