"""ARM's kernels, built by a cross compiler and run by an emulator where there are both.

On an ARM machine itself, the other tests here run them: they take every set of `available()`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
FLAGS = ("-std=c++17", "-O3", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
FLAGS += ("-Wno-maybe-uninitialized", "-Wno-uninitialized")  # as in CMakeLists.txt
OF_FILE = {"kernels_dotprod.cpp": ["-march=armv8.2-a+dotprod"]}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
        reason=f"needs {COMPILER} and {EMULATOR}: apt-get install g++-aarch64-linux-gnu qemu-user",
    ),
]


@pytest.fixture(scope="module")
def agree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of agree.cpp, with every file of kernels, for a 64-bit ARM."""
    folder = tmp_path_factory.mktemp("arm")
    sources = [Path(__file__).with_name("agree.cpp"), *(ROOT / "native").glob("kernels_*.cpp")]
    objects = []
    for source in sources:
        objects.append(str(folder / source.with_suffix(".o").name))
        flags = [*FLAGS, *OF_FILE.get(source.name, []), f"-I{ROOT / 'native'}"]
        subprocess.run([COMPILER, *flags, "-c", str(source), "-o", objects[-1]], check=True)
    program = folder / "agree"
    subprocess.run([COMPILER, "-static", *objects, "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize(
    ("processor", "sets"),
    [("cortex-a53", ["neon", "portable"]), ("cortex-a76", ["dotprod", "neon", "portable"])],
)
def test_a_processor_runs_the_sets_it_has_and_they_agree_with_the_portable_one(
    agree: Path, processor: str, sets: list[str]
) -> None:
    command = [EMULATOR, "-cpu", processor, str(agree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.split("\n")[:-1], done.returncode) == (sets, 0), done.stderr
