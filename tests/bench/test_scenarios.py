"""Scenarios ask of everybody the same, and go on without those who cannot."""

import numpy as np
import pytest

from bench import scenarios
from bench.files import ModelFile
from bench.scenarios import Setting
from pellucid.backends.reference import Reference
from pellucid.model.model import Model
from pellucid.model.run import Run, Segment
from pellucid.weights.checkpoint import open_checkpoint

from ..engine.toy import ToyModel

FILE = ModelFile("some", "some")
SETTING = Setting(threads=1, repeats=2, tokens=5, positions=6)


class Fake:
    """A contestant that is its own model, and writes down what is asked of it."""

    def __init__(self, name, *, absent=None, fails=None, logits=None):
        self.name = name
        self.calls = []
        self._absent, self._fails, self._logits = absent, fails, logits

    def absent(self, file):
        return self._absent

    def open(self, file, threads, sequences, length):
        if self._fails == "open":
            raise OSError("no such model\nand more")
        self.calls.append(("open", threads, sequences, length))
        return self

    def cold(self, file, threads, text):
        return ["false"] if self._fails == "cold" else ["true"]

    def start(self, prompts):
        self.calls.append(("start", [list(ids) for ids in prompts]))

    def step(self, tokens):
        self.calls.append(("step", list(tokens)))

    def logits(self, ids):
        return self._logits(ids)

    def close(self):
        self.calls.append(("close",))


@pytest.fixture(autouse=True)
def _counted_text(monkeypatch):
    monkeypatch.setattr(scenarios, "text_ids", lambda file, length: list(range(length)))


def warm(sequences):
    """What everybody does before the first turn: a short prompt and two steps."""
    ids = list(range(32))
    return [("start", [ids] * sequences), *[("step", [0] * sequences)] * 2]


def test_decoding_feeds_one_token_at_a_time_after_the_context():
    fake = Fake("a")
    [result] = scenarios.decode(40, FILE, [fake], SETTING)
    turn = [("start", [list(range(40))]), *(("step", [i]) for i in range(40, 45))]
    assert fake.calls == [("open", 1, 1, 45), *warm(1), *turn, *turn, ("close",)]
    assert result.scenario == "decode after 40"
    assert len(result.values["a"]) == 2


def test_only_the_steps_are_timed_and_tokens_of_all_sequences_count(monkeypatch):
    clock = [0.0]

    def seconds(run):
        start = clock[0]
        run()
        return clock[0] - start

    class Slow(Fake):
        def start(self, prompts):
            clock[0] += 100

        def step(self, tokens):
            clock[0] += 0.5

    monkeypatch.setattr(scenarios, "seconds", seconds)
    [decoded] = scenarios.decode(32, FILE, [Slow("a")], SETTING)
    [together] = scenarios.batch(FILE, [Slow("a")], SETTING)
    [read] = scenarios.prefill(400, FILE, [Slow("a")], SETTING)
    assert decoded.values["a"] == [2.0, 2.0]
    assert together.values["a"] == [16.0, 16.0]
    assert read.values["a"] == [4.0, 4.0]


def test_a_prompt_is_read_from_nothing_in_each_turn():
    fake = Fake("a")
    scenarios.prefill(50, FILE, [fake], SETTING)
    turn = ("start", [list(range(50))])
    assert fake.calls == [("open", 1, 1, 50), *warm(1), turn, turn, ("close",)]


def test_eight_different_sequences_of_one_length_decode_together():
    fake = Fake("a")
    scenarios.batch(FILE, [fake], SETTING)
    prompts = [call[1] for call in fake.calls if call[0] == "start"][1]
    assert [len(ids) for ids in prompts] == [32] * 8
    assert len({tuple(ids) for ids in prompts}) == 8
    first = [call[1] for call in fake.calls if call[0] == "step"][2]
    assert first == [ids[-1] + 1 for ids in prompts]


@pytest.mark.parametrize(
    ("fake", "why"),
    [
        (Fake("b", absent="not installed"), "not installed"),
        (Fake("b", fails="open"), "failed: OSError: no such model"),
    ],
)
def test_who_cannot_take_part_is_skipped_with_the_reason(fake, why):
    [result] = scenarios.prefill(40, FILE, [Fake("a"), fake], SETTING)
    assert result.skipped == {"b": why}
    assert list(result.values) == ["a"]


def test_a_cold_process_that_fails_is_skipped_with_the_reason():
    [result] = scenarios.cold(FILE, [Fake("a"), Fake("b", fails="cold")], SETTING)
    assert len(result.values["a"]) == 2
    assert "CalledProcessError" in result.skipped["b"]


def test_choosing_is_what_decode_steps_take_beside_the_forward(monkeypatch):
    clock = [0.0]

    def seconds(run):
        start = clock[0]
        run()
        return clock[0] - start

    class Slow(ToyModel):
        def forward(self, run):
            clock[0] += (3 if len(run.ids) == 1 else 100) + run.survey
            return super().forward(run)

    class Engine(scenarios.Engine):
        def step(self, running):
            clock[0] += 1
            return super().step(running)

    monkeypatch.setattr(scenarios, "seconds", seconds)
    monkeypatch.setattr(scenarios, "Engine", Engine)
    ours, peer = Fake("pellucid"), Fake("llama.cpp")
    ours.model = Slow()
    [result] = scenarios.choose(FILE, [ours, peer], SETTING)
    assert result.values == {way: [40.0] * 2 for way in ("greedy", "sampling", "penalties")}
    # The prompt and five steps, each alone and as it is asked for; three ways, two turns.
    assert ours.model.rows == [1] * 2 * 6 * 6
    assert peer.calls == []


def test_the_ledger_costs_what_the_same_choices_take_less_without_it(monkeypatch):
    clock = [0.0]

    def seconds(run):
        start = clock[0]
        run()
        return clock[0] - start

    class Slow(ToyModel):
        def forward(self, run):
            clock[0] += 2
            return super().forward(run)

    class Engine(scenarios.Engine):
        def step(self, running):
            clock[0] += 2 if running[0].task.parameters.ledger else 0.5
            return super().step(running)

    monkeypatch.setattr(scenarios, "seconds", seconds)
    monkeypatch.setattr(scenarios, "Engine", Engine)
    ours = Fake("pellucid")
    ours.model = Slow()
    [result] = scenarios.ledger(FILE, [ours, Fake("llama.cpp")], SETTING)
    ways = ("greedy", "sampling", "penalties")
    assert result.values == {way: [pytest.approx(50.0 - 20.0)] * 2 for way in ways}


def test_a_step_of_beams_stands_beside_a_step_of_as_many_prompts(monkeypatch):
    clock = [0.0]

    def seconds(run):
        start = clock[0]
        run()
        return clock[0] - start

    class Slow(ToyModel):
        def forward(self, run):
            clock[0] += 0.001 * len(run.ids)
            return super().forward(run)

    monkeypatch.setattr(scenarios, "seconds", seconds)
    ours = Fake("pellucid")
    ours.model = Slow()
    [result] = scenarios.beams(FILE, [ours], SETTING)
    assert list(result.values) == ["batch of 4", "4 beams", "4 beams, drawn"]
    for values in result.values.values():
        assert values == pytest.approx([4.0] * 2)


def test_faithfulness_is_the_divergence_from_the_reference_on_the_same_file(smollm2):
    model = Model.open(open_checkpoint(smollm2), Reference())
    truth = model.forward(Run([Segment(list(range(6)), wanted="all")]))
    one_row_flat = truth.copy()
    one_row_flat[2] = 0
    file = ModelFile("own", own=smollm2)
    fakes = [
        Fake("exact", logits=lambda ids: truth),
        Fake("broken", logits=lambda ids: one_row_flat),
    ]
    mean, worst = scenarios.faithfulness(file, fakes, SETTING)
    assert mean.values["exact"] == worst.values["exact"] == [0.0]
    row = np.float64(truth[2])
    probs = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
    flat = np.log(len(row)) + (probs * np.log(probs)).sum()  # log of the vocabulary - entropy
    assert worst.values["broken"] == pytest.approx([flat])
    assert mean.values["broken"] == pytest.approx([flat / 6])


def test_transformers_copy_is_not_compared_with_a_file_packed_anew(smollm2, monkeypatch):
    monkeypatch.setattr(ModelFile, "path", lambda self: smollm2)
    setting = Setting(threads=1, positions=3)
    file = ModelFile("packed", "smollm2", packing="Q4_0")
    mean, _ = scenarios.faithfulness(file, [Fake("transformers float32")], setting)
    assert mean.values == {}
    assert mean.skipped == {"transformers float32": "has the original's numbers"}
