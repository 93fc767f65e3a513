"""The stock side: Rasa as it comes, in an environment of its own that is made on demand."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.load import NoReply, Sender
from benchmarks.machine import ROOT, CannotMeasure, Program, free_port
from contact_hub.operations.bootstrap import find_python

HERE = Path(__file__).parent / "stock"
KEPT = ROOT / "var" / "versus_rasa"
RASA = KEPT / "venv" / "bin" / "rasa"
QUIET = {
    "RASA_TELEMETRY_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    "PYTHONWARNINGS": "ignore",
    "PYTHONUNBUFFERED": "1",
}


def threads(number: int) -> dict[str, str]:
    """How many threads TensorFlow and numpy may use; 0 leaves it to them."""
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_INTRA_OP_PARALLELISM_THREADS",
        "TF_INTER_OP_PARALLELISM_THREADS",
    )
    return dict.fromkeys(names, str(number)) if number else {}


def prepare() -> Path:
    """Make the environment and train the bot where that is not done yet; gives the model."""
    KEPT.mkdir(parents=True, exist_ok=True)
    lock = hashlib.sha256((HERE / "uv.lock").read_bytes()).hexdigest()
    stamp = KEPT / "venv" / ".lock"
    if not stamp.exists() or stamp.read_text() != lock:
        _install()
        stamp.write_text(lock)
    inputs = sorted(path for path in (HERE / "bot").rglob("*.yml") if path.name not in {"endpoints.yml"})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs) + lock.encode()).hexdigest()[:16]
    model = KEPT / "models" / f"{digest}.tar.gz"
    if not model.exists():
        print("Training the stock bot (minutes, once) ...", file=sys.stderr, flush=True)
        train: list[str | Path] = [RASA, "train", "--out", model.parent, "--fixed-model-name", digest]
        Program("rasa train", train, QUIET | threads(1), KEPT / "train.log", _folder()).finish()
    return model


def _install() -> None:
    print("Installing stock Rasa with TensorFlow (2.5 GB, once) ...", file=sys.stderr, flush=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise CannotMeasure("uv is missing: `make setup` installs it.")
    python = find_python((3, 10), "import ssl, sqlite3, ctypes, bz2, lzma") or "3.10"
    done = subprocess.run(
        [
            uv,
            "sync",
            "--frozen",
            "--compile-bytecode",
            "--no-progress",
            "--project",
            HERE,
            "--python",
            python,
        ],
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(KEPT / "venv")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CannotMeasure(f"Stock Rasa could not be installed: {done.stderr.strip().splitlines()[-1]}")


def _folder() -> Path:
    """A copy of the project to work in: Rasa writes beside what it reads."""
    folder = KEPT / "bot"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "bot", folder)
    return folder


@dataclass
class Stock:
    """The running stock bot: Rasa and its action server."""

    client: aiohttp.ClientSession
    url: str
    programs: tuple[Program, Program]

    @classmethod
    def start(cls, client: aiohttp.ClientSession, database_url: str, number_of_threads: int) -> Stock:
        """Start both and wait until both answer."""
        model, folder = prepare(), _folder()
        rasa, actions = free_port(), free_port()
        told = QUIET | threads(number_of_threads)
        told |= {
            "STOCK_ACTIONS_URL": f"http://127.0.0.1:{actions}/webhook",
            "STOCK_DATABASE_URL": database_url,
        }
        acting = Program(
            "the stock bot's action server",
            [RASA, "run", "actions", "--actions", "actions", "--port", str(actions)],
            told,
            KEPT / "actions.log",
            folder,
        )
        run: list[str | Path] = [
            RASA,
            "run",
            "--interface",
            "127.0.0.1",
            "--port",
            str(rasa),
            "--model",
            model,
        ]
        talking = Program("stock Rasa", run, told, KEPT / "rasa.log", folder)
        found = cls(client, f"http://127.0.0.1:{rasa}", (talking, acting))
        try:
            acting.wait_for(f"http://127.0.0.1:{actions}/health", 120)
            talking.wait_for(f"http://127.0.0.1:{rasa}/webhooks/rest/", 600)
        except CannotMeasure:
            found.stop()
            raise
        return found

    @property
    def processes(self) -> dict[str, int]:
        """Its processes by name."""
        talking, acting = self.programs
        return {"rasa": talking.pid, "actions": acting.pid}

    def stop(self) -> None:
        """End both."""
        for program in self.programs:
            program.stop()

    _numbers = itertools.count()

    async def new_sender(self) -> Sender:
        """Someone else on the REST channel."""
        return RestSender(self.client, f"{self.url}/webhooks/rest/webhook", f"resident-{next(self._numbers)}")


@dataclass
class RestSender:
    """One sender on Rasa's REST channel: the answer comes in the response."""

    client: aiohttp.ClientSession
    url: str
    name: str

    async def say(self, words: str) -> None:
        """Send a message; raises NoReply when the bot says nothing to it."""
        try:
            async with self.client.post(self.url, json={"sender": self.name, "message": words}) as answer:
                if answer.status != 200 or not await answer.json():
                    raise NoReply(f"{answer.status} {await answer.text()}")
        except aiohttp.ClientError as error:
            raise NoReply(repr(error)) from None
