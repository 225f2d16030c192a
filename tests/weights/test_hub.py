"""Models of the hub, through huggingface_hub and a stand-in that speaks its protocol."""

import json
import os

import pytest

from pellucid.weights.hub import cache_folder

WEIGHTS = os.urandom(500_000)
FILES = {
    "README.md": b"---\nlicense: other\nlicense_name: odd-terms\n---\n# Tiny\n",
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"pickle",
    "modeling_tiny.py": b"raise SystemExit('ran')",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def resolve(python):
    """resolve(reference) in a process of its own: (path or error, its lines on standard error)."""

    def resolve(reference: str, options: str = "") -> tuple[str, list[str]]:
        process = python(
            "from pellucid.errors import PellucidError\n"
            "from pellucid.weights.references import resolve\n"
            f"try: print(resolve({reference!r}, {options}))\n"
            "except PellucidError as error: print(type(error).__name__, error)\n"
        )
        output, errors = process.communicate(timeout=60)
        return output.strip(), errors.splitlines()

    return resolve


def snapshot(name: str) -> str:
    return str(cache_folder() / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT)


def test_a_repository_is_fetched_without_code_or_pickles_and_found_again(hub, resolve):
    hub.add_repository(
        "org/tiny", FILES, cardData={"license": "other", "license_name": "odd-terms"}
    )
    path, lines = resolve("org/tiny")
    assert path == snapshot("org/tiny")
    assert sorted(os.listdir(path)) == sorted(
        set(FILES) - {"pytorch_model.bin", "modeling_tiny.py"}
    )
    assert lines[0] == "org/tiny: licence: odd-terms"
    assert lines[1].startswith("fetching org/tiny (500 kB) ...")

    asked = len(hub.asked)
    assert resolve("org/tiny") == (path, [])
    assert resolve(f"org/tiny@{COMMIT}", "offline=True") == (path, [])
    assert len(hub.asked) == asked, "a cached model needs no request"

    hub.close()
    assert resolve("org/tiny")[0] == path
    answer, _ = resolve("org/tiny", "refresh=True")
    assert answer.startswith("DownloadError org/tiny: cannot be fetched from")


def test_progress_counts_the_bytes_of_the_files(hub, python):
    hub.add_repository("org/tiny", FILES)
    process = python(
        "class Heard:\n"
        "    def note(self, text): pass\n"
        "    def update(self, *update): print(*update)\n"
        "from pellucid.weights.references import resolve\n"
        "resolve('org/tiny', progress=Heard())\n"
    )
    output, _ = process.communicate(timeout=60)
    total = sum(len(FILES[name]) for name in FILES if not name.endswith((".bin", ".py")))
    updates = [line.split() for line in output.splitlines()]
    assert updates[0] == ["org/tiny", "0", str(total)]
    assert updates[-1] == ["org/tiny", str(total), str(total)]


def test_a_cut_download_is_finished(hub, resolve):
    hub.add_repository("org/tiny", FILES)
    weights = f"/org/tiny/resolve/{COMMIT}/model.safetensors"
    hub.cut[weights] = [100_000]
    path, _ = resolve("org/tiny")
    with open(f"{path}/model.safetensors", "rb") as file:
        assert file.read() == WEIGHTS
    assert len(hub.gets(weights)) == 2


def test_a_digest_that_differs_from_the_hubs_is_an_error_and_the_file_goes(hub, resolve):
    hub.add_repository("org/tiny", FILES)
    weights = f"/org/tiny/resolve/{COMMIT}/model.safetensors"
    hub.files[weights] = WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1])
    answer, _ = resolve("org/tiny")
    assert "DownloadError org/tiny: model.safetensors has SHA-256" in answer
    assert not os.path.exists(f"{snapshot('org/tiny')}/model.safetensors")
    hub.files[weights] = WEIGHTS
    assert resolve("org/tiny")[0] == snapshot("org/tiny")


def test_files_are_those_of_one_commit_though_the_branch_moves_meanwhile(hub, resolve):
    hub.add_repository("org/tiny", FILES)
    branch, later = "/api/models/org/tiny/revision/main", "f" * 40

    def move(path, headers):
        if path == branch:  # whose content, as it still is, has been taken for this answer
            hub.files[branch] = hub.files[branch].replace(COMMIT.encode(), later.encode())

    hub.status = move
    path, _ = resolve("org/tiny")
    assert path == snapshot("org/tiny")
    assert later.encode() in hub.files[branch]
    assert not any(later in asked for _, asked, _ in hub.asked)
    assert resolve("org/tiny", "offline=True")[0] == path


@pytest.mark.parametrize(
    ("stated", "reason"),
    [({"sha": "../../elsewhere"}, "names no commit"), ({"siblings": [{"rfilename": "a.gguf"}]},
                                                      "does not say how large a.gguf is")],
)  # fmt: skip
def test_a_hub_that_does_not_say_what_is_fetched_is_not_trusted(hub, resolve, stated, reason):
    hub.add_repository("org/tiny", FILES, **stated)
    assert reason in resolve("org/tiny")[0]
    assert not any("resolve" in asked for _, asked, _ in hub.asked)


def test_more_than_the_hub_says_is_not_taken(hub, resolve):
    hub.add_repository("org/tiny", FILES)
    weights = f"/org/tiny/resolve/{COMMIT}/model.safetensors"
    hub.files[weights] = bytes(30_000_000)
    answer, _ = resolve("org/tiny")
    assert "DownloadError org/tiny: the hub sends more than the" in answer
    kept = [file.stat().st_size for file in cache_folder().rglob("*") if file.is_file()]
    assert max(kept) < 20_000_000


def test_what_the_disk_has_no_room_for_is_not_fetched(hub, resolve, monkeypatch):
    hub.add_repository("org/tiny", {**FILES, "model.safetensors": b"x"})
    about = "/api/models/org/tiny/revision/main"
    hub.files[about] = hub.files[about].replace(b'"size": 1,', b'"size": 9%s,' % (b"0" * 15))
    answer, _ = resolve("org/tiny")
    assert "9000000.0 GB more are to be written" in answer
    assert "HF_HOME" in answer
    assert not any("resolve" in asked for _, asked, _ in hub.asked)


def test_one_gguf_of_many_is_picked(hub, resolve):
    hub.add_repository("org/q", {"q-Q4_K_M.gguf": b"GGUF4", "q-Q8_0.gguf": b"GGUF8"})
    answer, _ = resolve("org/q")
    assert answer.startswith("ModelNotFoundError org/q: several GGUF files: ")
    assert "q-Q4_K_M.gguf, q-Q8_0.gguf" in answer
    path, _ = resolve("org/q:q8_0")
    assert path == f"{snapshot('org/q')}/q-Q8_0.gguf"
    assert not any("Q4_K_M.gguf" in asked for _, asked, _ in hub.asked)
    assert resolve("org/q:q-Q8_0.gguf", "offline=True")[0] == path


@pytest.mark.parametrize(
    ("status", "header", "reason"),
    [
        (404, "RepoNotFound", "ModelNotFoundError org/x: not on the hub, or private"),
        (404, "RevisionNotFound", "ModelNotFoundError org/x: has no revision 'main'"),
        (403, "GatedRepo", "DownloadError org/x: its owner asks you to accept a licence first"),
        (500, "", "DownloadError org/x: cannot be fetched from"),
    ],
)
def test_what_the_hub_refuses_is_explained(hub, resolve, status, header, reason):
    hub.status = lambda path, headers: status
    hub.headers[str(status)] = {"X-Error-Code": header}
    answer, _ = resolve("org/x")
    assert answer.startswith(reason)
    assert "\n" not in answer


def test_pickled_weights_are_refused_before_they_are_fetched(hub, resolve):
    hub.add_repository("org/old", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    assert resolve("org/old")[0].startswith("UnsupportedError org/old: has only pickled weights")
    assert not any("resolve" in asked for _, asked, _ in hub.asked)


def test_the_hubs_own_offline_switch_is_honoured(hub, resolve, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in resolve("org/tiny")[0]
    assert hub.asked == []


def test_a_cache_that_cannot_be_written_is_named(hub, resolve, tmp_path):
    hub.add_repository("org/tiny", FILES)
    (tmp_path / "hf").write_text("in the way")
    answer, _ = resolve("org/tiny")
    assert answer.startswith("DownloadError")
    assert str(tmp_path / "hf") in answer
    assert "HF_HOME" in answer


def test_part_of_a_model_in_the_cache_is_completed(hub, resolve):
    hub.add_repository("org/tiny", FILES)
    path, _ = resolve("org/tiny")
    os.remove(f"{path}/tokenizer.json")
    assert resolve("org/tiny", "offline=True")[0].startswith("DownloadError org/tiny: not on this")
    assert resolve("org/tiny")[0] == path
    assert os.path.exists(f"{path}/tokenizer.json")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/h"}, "/h/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "~/h"}, "/u/h/hub"),
        ({}, "/u/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(python, monkeypatch, variables, expected):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/u", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder().as_posix() == expected
    truth = python("from huggingface_hub import constants; print(constants.HF_HUB_CACHE)")
    assert truth.communicate(timeout=60)[0].strip() == expected


def test_what_is_in_the_cache_is_listed_and_removed(hub, resolve, python):
    hub.add_repository("org/tiny", FILES)
    hub.add_repository("org/q", {"a-Q4_0.gguf": b"GGUF4", "a-Q8_0.gguf": b"GGUF8"})
    for reference in ("org/tiny", "org/q:Q4_0", "org/q:Q8_0"):
        resolve(reference)
    hub.close()
    code = (
        "import json; from pellucid.weights import inventory; "
        "from pellucid.weights.references import parse\n"
        "def names(): return [(m.name, m.format, m.size, m.licence) for m in inventory.models()]\n"
        "print(json.dumps([names(), inventory.remove(parse('org/q:Q4_0')), names(),\n"
        "                  inventory.remove(parse('org/tiny')), names()]))"
    )
    before, small, between, large, after = json.loads(python(code).communicate(timeout=60)[0])
    q4, q8 = (["org/q:a-Q4_0.gguf", "gguf", 5, None], ["org/q:a-Q8_0.gguf", "gguf", 5, None])
    size = sum(len(FILES[name]) for name in FILES if not name.endswith((".bin", ".py")))
    assert before == [q4, q8, ["org/tiny", "safetensors", size, "odd-terms"]]
    assert (small, between) == (5, [q8, before[2]])
    assert (large, after) == (size, [q8])
    assert not os.path.exists(snapshot("org/tiny"))
