"""Each contestant is driven as its own library would be: the same tokens give the same logits."""

import numpy as np
import pytest

from bench.files import ModelFile
from bench.measure import divergence
from bench.peers import contestants
from bench.peers.pellucid import Pellucid
from bench.peers.transformers import LoadedTorch
from pellucid.backends.reference import Reference
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint

SEQUENCES = [[504, 2365, 282, 4649, 314], [28, 1928, 198, 338, 260]]


@pytest.fixture(scope="module")
def truth(smollm2):
    """The reference's logits for each sequence."""
    model = Model.open(open_checkpoint(smollm2), Reference())
    return [model.forward(Run([Segment(ids, wanted="all")])) for ids in SEQUENCES]


@pytest.fixture
def file(smollm2):
    return ModelFile("smollm2", own=smollm2)


def test_pellucid_is_the_first_and_has_no_excuse(file):
    assert contestants()[0].name == "pellucid"
    assert contestants()[0].absent(file) is None


def test_pellucid_gives_the_logits_of_its_reference(file, truth):
    model = Pellucid().open(file, 1, 1, 8)
    assert divergence(truth[0], model.logits(SEQUENCES[0])).max() < 1e-3


def test_pellucid_appends_to_every_sequence(file):
    model = Pellucid().open(file, 1, 2, 8)
    model.start([ids[:3] for ids in SEQUENCES])
    model.step([ids[3] for ids in SEQUENCES])
    assert [cache.length for cache in model.caches] == [4, 4]
    model.start([SEQUENCES[0]])
    assert [cache.length for cache in model.caches] == [5]


def test_pellucids_bytes_a_token_are_about_the_file_and_grow_with_the_context(file, smollm2):
    model = Pellucid().open(file, 1, 1, 8)
    size = smollm2.stat().st_size
    assert 0.9 * size < model.bytes_per_token(0) < 1.2 * size
    keys = 30 * 3 * 64 * 2 * 2  # layers, heads, numbers, keys and values, bytes of float16
    assert model.bytes_per_token(1000) - model.bytes_per_token(0) == 1000 * keys


@pytest.mark.parametrize("sequences", [1, 2])
def test_llama_cpp_reads_prompts_and_appends_at_the_right_positions(file, truth, sequences):
    pytest.importorskip("llama_cpp")
    from bench.peers.llama_cpp import LlamaCpp

    model = LlamaCpp().open(file, 1, sequences, 8)
    some = SEQUENCES[:sequences]
    for _ in range(2):  # what was before is forgotten
        model.start([ids[:3] for ids in some])
        model.step([ids[3] for ids in some])
        model.step([ids[4] for ids in some])
    vocab = truth[0].shape[1]
    for i in range(sequences):
        at = i if sequences > 1 else -1
        last = model.llama.llama_get_logits_ith(model.context, at)
        found = np.ctypeslib.as_array(last, shape=(vocab,))[None]
        # Its 8-bit activations stray by up to 0.02; a wrong position or sequence by more than 0.5.
        assert divergence(truth[i][4:], found)[0] < 0.1
    assert divergence(truth[0], model.logits(SEQUENCES[0])).max() < 0.1
    model.close()


def test_transformers_appends_to_its_cache(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    threads = torch.get_num_threads()
    model = LoadedTorch(str(tmp_path), "bfloat16", 1)
    torch.set_num_threads(threads)
    for _ in range(2):
        model.start([[1, 2, 3], [4, 5, 6]])
        model.step([7, 8])
        assert model.cache.get_seq_length() == 4
    assert model.model.dtype == torch.bfloat16
    assert model.logits([1, 2, 3]).shape == (3, 64)
    assert model.logits([1, 2, 3]).dtype == np.float32
