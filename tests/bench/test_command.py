"""python -m bench: a table on standard output, the values in a file, words on standard error."""

import json

import pytest
from click.testing import CliRunner

from bench import files
from bench.__main__ import bench
from bench.files import ModelFile, file
from bench.measure import Result
from bench.report import table, warning
from pellucid.errors import ModelNotFoundError
from pellucid.look.view import plain

RESULT = Result(
    "some-file",
    "decode after 32",
    "tokens/s",
    True,
    {"pellucid": [300.0, 330.0], "llama.cpp": [150.0, 110.0], "memory limit": [400.0, 600.0]},
    {"transformers bfloat16": "torch not installed"},
)


def test_the_table_has_medians_spreads_and_ratios():
    lines = [line.split() for line in plain(table("some-file", [RESULT]), 120).splitlines()]
    assert lines[0] == ["some-file"]
    assert " ".join(lines[2]) == "decode after 32, tokens/s pellucid 315 300 to 330"
    assert " ".join(lines[3]) == "llama.cpp 130 110 to 150 2.50 x 2.00 to 3.00"
    assert " ".join(lines[4]) == "memory limit 500 400 to 600 65.0 % of it 55.0 to 75.0"
    assert " ".join(lines[5]) == "transformers bfloat16: torch not installed"


def test_the_json_keeps_every_value():
    data = json.loads(json.dumps(RESULT.to_dict()))
    assert data["contestants"]["pellucid"] == {
        "values": [300.0, 330.0], "median": 315.0, "min": 300.0, "max": 330.0,
    }  # fmt: skip
    assert data["ratios"]["llama.cpp"] == {"median": 2.5, "min": 2.0, "max": 3.0}
    assert data["skipped"] == {"transformers bfloat16": "torch not installed"}
    assert (data["unit"], data["better"]) == ("tokens/s", "more")


def test_a_quick_run_of_one_scenario(smollm2, tmp_path):
    to = tmp_path / "values.json"
    arguments = ["--quick", "--scenario", "decode", "--file", str(smollm2), "--json", str(to)]
    ran = CliRunner().invoke(bench, [*arguments, "--contestant", "pellucid", "--threads", "1"])
    assert ran.exit_code == 0, ran.output
    assert "decode after 32, tokens/s" in ran.stdout
    assert "% of it" in ran.stdout
    assert f"{smollm2.stem}: decode ...\n" in ran.stderr
    data = json.loads(to.read_text())
    assert (data["threads"], data["repeats"]) == (1, 2)
    assert data["machine"]["cpu"]["cores"] >= 1
    [result] = data["results"]
    assert set(result["contestants"]) == {"pellucid", "memory limit"}
    assert len(result["contestants"]["pellucid"]["values"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "nonsense"], "nonsense"),
        (["--contestant", "nonsense"], "no contestant 'nonsense': one of pellucid, llama.cpp"),
        (["--threads", "0"], "--threads"),
        (["--repeats", "-1"], "--repeats"),
    ],
)
def test_a_mistyped_option_is_a_usage_error(arguments, said):
    ran = CliRunner().invoke(bench, arguments)
    assert ran.exit_code == 2
    assert said in ran.stderr


def test_a_quick_run_is_of_one_file_without_what_is_long_or_slow(monkeypatch):
    asked = []

    def run(*given):
        asked.extend(given)
        return []

    monkeypatch.setattr("bench.__main__.run", run)
    assert CliRunner().invoke(bench, ["--quick"]).exit_code == 0
    files, scenarios, who, setting = asked
    assert [f.name for f in files] == ["smollm2-q4_1"]
    assert "prefill-4096" not in [s.name for s in scenarios]
    assert [c.name for c in who] == ["pellucid", "llama.cpp", "transformers bfloat16"]
    assert setting.repeats == 2


@pytest.mark.parametrize(("load", "busy"), [(0.2, False), (1.9, True), (None, False)])
def test_a_busy_machine_is_told(load, busy):
    assert bool(warning(load, threads=2, cores=4)) is False
    assert bool(warning(load, threads=2, cores=2)) is busy


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ModelNotFoundError, match=r"no file 'gone\.gguf'"):
        file("gone.gguf")


def test_what_is_made_is_kept_and_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path))
    made = []

    def make(path):
        made.append(path)
        path.write_text("whole")

    assert files._kept("a.gguf", make) == files._kept("a.gguf", make) == tmp_path / "bench/a.gguf"
    assert len(made) == 1


@pytest.mark.parametrize("folder", [False, True])
def test_what_failed_half_way_leaves_nothing(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("PELLUCID_HOME", str(tmp_path))

    def make(path):
        if folder:
            path.mkdir()
        else:
            path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files._kept("a.gguf", make)
    assert list((tmp_path / "bench").iterdir()) == []


def test_files_in_the_test_models_directory_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("PELLUCID_TEST_MODELS", str(tmp_path))
    assert ModelFile("gemma3-270m", "gemma3-270m").path() == tmp_path / "gemma3.gguf"
    assert ModelFile("smollm2-q4_1", "smollm2").path() == tmp_path / "smollm2.gguf"
