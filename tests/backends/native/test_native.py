"""What the native backend takes, and how it behaves among threads and processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid.backends import _native
from pellucid.backends.native import Native
from pellucid.errors import BackendError, ParameterError
from pellucid.model.run import Run, Segment
from pellucid.weights.tensor import Floats

from ...model.tiny import Tiny, whole
from .test_attention import Attending, Case


@pytest.mark.parametrize("isa", _native.available())
def test_an_instruction_set_is_forced_by_the_environment(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PELLUCID_ISA", isa)
    assert Native(1).engine.isa == isa


def test_the_best_instruction_set_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PELLUCID_ISA", raising=False)
    assert Native(1).engine.isa == _native.available()[0]
    assert _native.available()[-1] == "portable"


@pytest.mark.parametrize("isa", ["mmx", "AVX2", "avx2 "])
def test_an_unknown_instruction_set_is_named_with_those_there_are(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = f": must be one of {', '.join(_native.available())} here, not {isa!r}"
    with pytest.raises(ParameterError) as caught:
        Native(isa=isa)
    assert str(caught.value) == "isa" + words
    monkeypatch.setenv("PELLUCID_ISA", isa)
    with pytest.raises(ParameterError) as caught:
        Native()
    assert str(caught.value) == "PELLUCID_ISA" + words


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**6, 10**30, True, 1.5, "2"])
def test_threads_that_there_cannot_be_are_refused(threads: Any) -> None:
    with pytest.raises(ParameterError, match=r"^threads: must be "):
        Native(threads)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux counts it")
def test_threads_that_the_system_has_no_room_for_are_an_error_of_ours() -> None:
    code = """
import resource
from pellucid.backends.native import Native
from pellucid.errors import BackendError
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    Native(1024).engine
except BackendError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1024 threads cannot be started: ")


def test_threads_are_started_when_they_are_first_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(_native, "Engine", lambda threads, isa: started.append(threads) or object())
    backend = Native(3)
    assert started == []
    engines = {id(backend.engine) for _ in range(2)}
    assert (started, len(engines)) == ([3], 1)


def test_threads_are_by_default_those_this_process_may_use() -> None:
    expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert Native().engine.threads == expected


def test_a_cache_dtype_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(ParameterError, match="cache_dtype: must be one of float16, float32"):
        Native(1, cache_dtype="bfloat16")


def test_keys_beyond_float16_are_an_error_that_says_what_to_do(
    tiny: Callable[[str], Tiny], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny("llama")
    weight = Native.weight

    def enlarged(self: Native, tensor: Any, **options: Any) -> Any:
        if "v_proj.weight" in tensor.name:
            tensor = type(tensor).of(tensor.name, tensor.float32() * np.float32(1e6))
        return weight(self, tensor, **options)

    monkeypatch.setattr(Native, "weight", enlarged)
    with pytest.raises(BackendError, match="cache_dtype='float32'"):
        whole(made.open(Native(1)), [5, 6, 7])
    assert np.isfinite(whole(made.open(Native(1, cache_dtype="float32")), [5, 6, 7])).all()


def test_threads_of_python_may_share_a_model(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    model = made.open(Native(2))
    truths = [whole(model, ids) for ids in made.sequences]
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(60):
            n = (number + turn) % len(truths)
            ids, cache = made.sequences[n], model.new_cache()
            parts = [model.forward(Run([Segment(p, cache, "all")])) for p in (ids[:4], ids[4:])]
            if not np.array_equal(np.concatenate(parts), truths[n]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_sequence_is_never_used_by_two_passes_at_once(tiny: Callable[[str], Tiny]) -> None:
    model = tiny("llama").open(Native(1))
    cache = model.new_cache()
    refused: list[Exception] = []
    run, stop = Run([Segment([5] * 60, cache)]), threading.Event()

    def passes() -> None:
        while not stop.is_set():
            try:
                model.run(run)
            except RuntimeError as error:
                refused.append(error)

    threads = [threading.Thread(target=passes) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        try:
            cache.trim(0)
            cache.fork()
        except RuntimeError as error:
            refused.append(error)
    stop.set()
    for thread in threads:
        thread.join()
    assert all("sequence" in str(error) for error in refused)
    np.testing.assert_array_equal(model.run(run), model.run(Run([Segment([5] * 60)])))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_process_computes_the_same(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    model = made.open(Native(2))
    truth = whole(model, made.sequences[0])
    child = os.fork()
    if child == 0:  # no exception may leave this branch
        same = np.array_equal(whole(model, made.sequences[0]), truth)
        del model
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(whole(model, made.sequences[0]), truth)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_process_forked_while_a_pass_runs_computes_the_same(tiny: Callable[[str], Tiny]) -> None:
    made = tiny("llama")
    model = made.open(Native(2))
    truth = whole(model, made.sequences[0])
    ended = forked_while(
        lambda: whole(model, made.sequences[0]),
        lambda: not np.array_equal(whole(model, made.sequences[0]), truth),
        10,
    )
    assert ended == [0] * 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_process_forked_while_keys_are_gathered_joins_what_it_gathers_itself() -> None:
    seen = 4_000  # keys, so that most of a pass is attention to them
    attending = Attending(_native.Engine(2, ""), Case(heads=4, head_dim=256), seen + 1)
    busy, own = attending.sequence(), attending.sequence()
    for sequence in (busy, own):
        for start in range(0, seen, 500):
            attending.tried.run(start, start + 500, start, sequence)
            sequence.advance(500)

    def last(sequence: Any) -> Floats:
        return attending.tried.run(seen, seen + 1, seen, sequence)

    truth = last(own)
    ended = forked_while(
        lambda: last(busy),
        lambda: sum(not np.array_equal(last(own), truth) for _ in range(5)),
        40,
    )
    assert ended == [0] * 40


def forked_while(pass_: Callable[[], Any], wrong: Callable[[], int], times: int) -> list[int]:
    """How processes ended, each with `wrong()`, that were forked while a thread makes passes."""
    stop = threading.Event()

    def passes() -> None:
        while not stop.is_set():
            pass_()

    thread = threading.Thread(target=passes)
    thread.start()
    children = []
    for _ in range(times):
        child = os.fork()
        if child == 0:  # no exception may leave this branch
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # not the test's own
            signal.alarm(30)  # ends one that waits for ever
            os._exit(wrong())
        children.append(child)
    ended = [os.waitpid(child, 0)[1] for child in children]
    stop.set()
    thread.join()
    return ended


def test_a_process_ends_with_engines_alive_and_says_nothing() -> None:
    code = """
import ctypes, threading, numpy as np
from pellucid.backends import _native
engines = [_native.Engine(3, "") for _ in range(5)]
del engines[1]
ctypes.pythonapi.Py_IncRef(ctypes.py_object(engines[0]))  # somebody keeps it for ever
matrix = engines[0].pack("F32", np.zeros((20, 64), np.uint8), 20, 16)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_operation_that_does_not_fit_its_buffers_is_refused() -> None:
    engine = _native.Engine(1, "")
    plan = _native.Plan(engine, 2, 2, 16)
    narrow, wide, wanted = plan.buffer(32, False), plan.buffer(64, False), plan.buffer(32, True)
    for write in (
        lambda: plan.add(wide, narrow, narrow),
        lambda: plan.add(narrow, narrow, wide),
        lambda: plan.add(wanted, narrow, narrow),
        lambda: plan.add(9, narrow, narrow),
        lambda: plan.scale(narrow, -1, 2.0),
        lambda: plan.take(narrow, narrow),
        lambda: plan.take(wanted, wide),
        lambda: plan.norm(narrow, narrow, [1.0] * 31, [], 1, 1e-6, False),
        lambda: plan.norm(narrow, narrow, [1.0] * 10, [], 3, 1e-6, False),
        lambda: plan.norm(narrow, narrow, [1.0] * 32, [1.0], 1, 1e-6, False),
        lambda: plan.rotate(narrow, narrow, wide, 1),
        lambda: plan.turns(narrow, [1.0], 1.0),
        lambda: plan.activate(narrow, narrow, 4),
        lambda: plan.attend(wide, wide, narrow, narrow, 2, 4, 0, 1.0, 0.0),
        lambda: plan.attend(wide, wide, narrow, narrow, 0, 3, 0, 1.0, 0.0),
        lambda: plan.attend(wide, wide, wide, narrow, 0, 4, 0, 1.0, 0.0),
        lambda: plan.attend(wide, wide, narrow, narrow, 0, 4, -1, 1.0, 0.0),
        lambda: (
            plan.attend(wide, wide, narrow, narrow, 0, 4, 0, 1.0, 0.0),
            plan.attend(narrow, narrow, narrow, narrow, 1, 2, 0, 1.0, 0.0),
        ),
        lambda: plan.experts(narrow, narrow, narrow, [(None, None, None)] * 32, 1, False, 0),
        lambda: plan.quantise(narrow, 0),
        lambda: plan.finish(narrow),
        lambda: plan.finish(99),
    ):
        with pytest.raises((ValueError, IndexError)):
            write()


def test_a_plan_that_is_not_finished_does_not_run() -> None:
    plan = _native.Plan(_native.Engine(1), 1, 1, 16)
    none = np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="not finished"):
        plan.execute(none, none, none, [], np.zeros((0, 1), np.float32))
