"""The store: whole models or none, shared by processes, explained when the disk refuses."""

import errno
import json
import os
import signal
import sys
import threading

import pytest

from pellucid.errors import DownloadError
from pellucid.weights import store


def put(key="m-1.0", content=b"weights"):
    """A model of one file in the store."""
    staged = store.downloads(key) / "model"
    staged.mkdir()
    (staged / "m.gguf").write_bytes(content)
    manifest = store.Manifest("pypi:m==1.0", "m.gguf", "MIT", {"m.gguf": (len(content), "d")})
    return store.install(key, staged, manifest)


def test_what_is_installed_is_found_again(home):
    installed = put()
    assert store.find("m-1.0") == installed
    assert installed.path.read_bytes() == b"weights"
    assert store.installed() == [("m-1.0", installed)]
    assert store.unfinished() == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "m.gguf").write_bytes(b"short"),
        lambda folder: (folder / "m.gguf").unlink(),
        lambda folder: (folder / "pellucid.json").write_text("{"),
        lambda folder: (folder / "pellucid.json").write_text("[]"),
        lambda folder: (folder / "pellucid.json").write_text('{"files": 3}'),
        lambda folder: (folder / "pellucid.json").unlink(),
    ],
)
def test_a_damaged_model_is_not_there_and_can_be_installed_again(home, damage):
    damage(put().folder)
    assert store.find("m-1.0") is None
    assert store.installed() == []
    assert put().path.read_bytes() == b"weights"


def test_removing_frees_the_model_and_what_was_half_fetched(home):
    put()
    (store.downloads("m-1.0") / "m.whl.part").write_bytes(bytes(50))
    assert store.unfinished() == {"m-1.0": 50}
    assert store.remove("m-1.0") >= 57
    assert (store.find("m-1.0"), store.unfinished()) == (None, {})


def test_looking_around_is_not_disturbed_by_processes_that_fetch_and_remove(home, monkeypatch):
    installed = put()
    (store.downloads("n-1.0") / "n.whl.part").write_bytes(bytes(50))
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: [*walk(top), (top, [], ["renamed"])])
    monkeypatch.setattr(
        store, "_folders", lambda kind: [home / kind / k for k in ("m-1.0", "n-1.0")]
    )
    assert store.unfinished() == {"n-1.0": 50}
    assert store.installed() == [("m-1.0", installed)]


def test_a_disk_without_locks_is_named(home, monkeypatch):
    def refuse(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(store, "_try_lock", refuse)
    with pytest.raises(DownloadError, match="No locks available"), store.locked("m"):
        pass


def test_a_manifest_is_plain_json_that_says_where_the_model_came_from(home):
    fields = json.loads((put().folder / "pellucid.json").read_text())
    assert fields["source"] == "pypi:m==1.0"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"PELLUCID_HOME": "/a"}, "/a"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/pellucid"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/u/.cache/pellucid"),
        ("linux", {}, "/u/.cache/pellucid"),
        ("darwin", {}, "/u/Library/Caches/pellucid"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/pellucid/Cache"),
    ],
)
def test_the_store_is_where_the_platform_keeps_caches(monkeypatch, platform, variables, expected):
    for name in ("PELLUCID_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/u", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert store.home().as_posix() == expected


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(home):
    home.write_text("a file stands where the directory should be")
    for attempt in (lambda: store.downloads("m"), lambda: store.locked("m").__enter__()):
        with pytest.raises(DownloadError, match="set PELLUCID_HOME") as error:
            attempt()
        assert str(home) in str(error.value)


def test_nothing_in_the_store_is_no_error(home):
    assert (store.find("m"), store.installed(), store.unfinished()) == (None, [], {})


def test_one_waits_while_another_holds_the_lock(home):
    order, waited = [], threading.Event()

    def second():
        with store.locked("m", waited.set):
            order.append("second")

    with store.locked("m"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_different_models_do_not_wait_for_each_other(home):
    with store.locked("a"), store.locked("b", lambda: pytest.fail("waited")):
        pass


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_the_lock_of_a_killed_process_blocks_nobody(home, python):
    code = "from pellucid.weights import store; import time\n"
    holder = python(code + "with store.locked('m'): print('held', flush=True); time.sleep(60)")
    assert holder.stdout.readline() == "held\n"
    waited = []
    threading.Timer(0.3, lambda: holder.send_signal(signal.SIGKILL)).start()
    with store.locked("m", lambda: waited.append(True)):
        assert waited == [True]
    with store.locked("m", lambda: pytest.fail("waited for the dead")):
        pass
