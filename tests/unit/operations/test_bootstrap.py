"""Setting up finds what runs and not what is merely named, and says in one sentence what it cannot do."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contact_hub.operations import bootstrap

ROOT = Path(__file__).parents[3]
Wheel = Callable[..., None]


def script(path: Path, words: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return path


def test_a_shim_that_leads_nowhere_is_passed_over_for_a_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = sys.version_info[:2]
    name = "python{}.{}".format(*version)
    script(tmp_path / "shims" / name, "echo 'command not found' >&2; exit 127")
    script(tmp_path / "older" / name, 'exec /usr/bin/env python2 "$@"')
    working = script(tmp_path / "bin" / name, f'exec {sys.executable} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'older'}:{tmp_path / 'bin'}")
    assert bootstrap.find_python(version, "import ssl") == str(working)


def test_a_python_without_a_module_that_is_needed_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    assert bootstrap.find_python((3, 11), "import no_such_module") is None


def test_pyenv_s_versions_are_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "python{}.{}".format(*sys.version_info[:2])
    made = script(
        tmp_path / ".pyenv/versions/{}.{}.1/bin".format(*sys.version_info[:2]) / name,
        f'exec {sys.executable} "$@"',
    )
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    assert bootstrap.find_python(sys.version_info[:2], f"assert sys.argv or True, {name!r}") == str(made)


def test_without_python_3_11_it_says_so_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "none")
    monkeypatch.setattr(bootstrap, "find_python", lambda version, check: None)
    with pytest.raises(bootstrap.CannotGoOnError, match=r"needs Python 3\.11 .* was found: install it .*\.$"):
        bootstrap.make_modern()


# torch: real pip, in a real environment, with small stand-ins for the large wheels ------------------


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bootstrap") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    return made


@pytest.fixture
def wheel(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wheel]:
    """Gives a function that puts a wheel where pip finds it, and nothing else where it looks."""
    monkeypatch.setattr(bootstrap, "VENV", environment)
    monkeypatch.setattr(bootstrap, "LOGS", tmp_path)
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "PIP", (environment / "bin" / "python", *bootstrap.PIP[1:]))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    shutil.copy(ROOT / "requirements-torch.txt", tmp_path)

    def make(name: str, version: str, *needs: str) -> None:
        folder = f"{name}-{version}.dist-info"
        written = tmp_path / "wheels" / f"{name}-{version}-py3-none-any.whl"
        written.parent.mkdir(exist_ok=True)
        needed = "".join(f"Requires-Dist: {need}\n" for need in needs)
        with zipfile.ZipFile(written, "w") as packed:
            packed.writestr(f"{name}.py", "")
            packed.writestr(
                f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}"
            )
            packed.writestr(
                f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            packed.writestr(f"{folder}/RECORD", "")

    yield make
    remove = ("-m", "pip", "uninstall", "--yes", "--quiet", "torch", "nvidia_cublas")
    subprocess.run([str(environment / "bin" / "python"), *remove], check=False, capture_output=True)


def test_the_cpu_build_is_taken_where_pip_finds_it(wheel: Wheel, capsys: pytest.CaptureFixture[str]) -> None:
    wheel("torch", "2.13.0", "nvidia_cublas")
    wheel("torch", "2.13.0+cpu")
    wheel("nvidia_cublas", "13.1")
    bootstrap.install_torch()
    assert bootstrap._installed_torch() == "2.13.0+cpu"
    assert "CUDA" not in capsys.readouterr().out


def test_a_cuda_build_is_told_in_one_sentence_with_its_size_and_the_way_to_the_other(
    wheel: Wheel, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel("torch", "2.13.0", "nvidia_cublas")
    wheel("nvidia_cublas", "13.1")
    bootstrap.install_torch()
    told = [line for line in capsys.readouterr().out.splitlines() if "CUDA" in line]
    assert len(told) == 1
    assert told[0].startswith("pip finds only torch 2.13.0 with CUDA here, about 3 GB to download")
    assert "the CPU build is about 0.2 GB" in told[0]
    assert "PIP_EXTRA_INDEX_URL" in told[0]


def test_a_torch_that_cannot_be_had_is_told_in_one_sentence(wheel: Wheel) -> None:
    wheel("something_else", "1.0")
    with pytest.raises(bootstrap.CannotGoOnError) as told:
        bootstrap.install_torch()
    assert str(told.value).startswith("pip could not install torch 2.13.0 (")
    assert "No matching distribution found for torch==2.13.0" in str(told.value)
    assert "\n" not in str(told.value)


def test_an_installed_torch_is_left_alone(wheel: Wheel, capsys: pytest.CaptureFixture[str]) -> None:
    wheel("torch", "2.13.0+cpu")
    bootstrap.install_torch()
    capsys.readouterr()
    bootstrap.install_torch()
    assert capsys.readouterr().out == ""


# Running ----------------------------------------------------------------------------------------------


def test_a_failing_step_names_the_error_and_not_the_advice_after_it() -> None:
    written = "Collecting x\nERROR: no space left on device\nhint: See above for details.\n"
    assert bootstrap._reason(written, 1) == "ERROR: no space left on device"


def test_steps_run_without_what_would_lead_them_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.setenv(name, "1")
    assert not {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONPATH"} & bootstrap._environment().keys()


def test_a_part_is_made_again_only_when_something_it_is_made_from_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    source, made = tmp_path / "lock", []
    source.write_text("a")
    part = bootstrap.Part("part", lambda: [source], tmp_path / "stamp", lambda: made.append(1))
    assert not part.fresh()
    part.make_and_remember()
    assert part.fresh()
    source.write_text("b")
    assert not part.fresh()


def test_looking_whether_everything_is_up_to_date_costs_under_half_a_second_of_work() -> None:
    """It knows the standard library only, and our modules named like Python's are not in its way."""
    path = str(ROOT / "contact_hub/operations/bootstrap.py")
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='looking')['PARTS'][0].fresh()"
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-I", "-c", code, path], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.5


def test_the_chat_is_built_again_when_its_own_words_change() -> None:
    widget = next(part for part in bootstrap.PARTS if part.name == "widget")
    assert ROOT / "channels/base/widget/english.json" in widget.inputs()
