"""`civicline up`: starts the whole line in order, watches it, and leaves nothing behind when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psycopg

from contact_hub.operations import assistant, line, migrate, postgres
from contact_hub.operations.postgres import Postgres, PostgresError
from contact_hub.operations.processes import Process, Program, memory_mb
from contact_hub.settings import Settings, SettingsError, libpq_url

AdminLink = Callable[[str, str], Awaitable[str | None]]  # database's address, site's address -> link

LONGEST_START = 180.0  # seconds; a first start embeds every article
LONGEST_TRAINING = 900.0


class NotStarted(RuntimeError):
    """Says in one sentence what did not start, and where to read why."""


class Line:
    """Is the running whole: PostgreSQL, the processes, and what others need to find them."""

    def __init__(self, settings: Settings, admin_link: AdminLink) -> None:
        self.settings = settings.model_copy(
            update={
                "brain_url": f"http://127.0.0.1:{_free_port()}",
                "rasa_url": f"http://127.0.0.1:{_free_port()}",
            }
        )
        self.city = settings.city_folder
        self.data = settings.civicline_data.resolve()
        self.admin_link = admin_link
        self.stop = asyncio.Event()
        self.server: Postgres | None = None
        self.database_url = ""
        self.processes: dict[str, Process] = {}
        self._began = time.monotonic()
        self._client = httpx.AsyncClient(timeout=2.0, trust_env=False)

    # Starting --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything, each thing as soon as what it needs is there."""
        _port_is_free(self.settings)
        brain = await self._launch(
            "brain", *self._python("brain"), url=self.settings.brain_url, health="/healthz"
        )
        await self._database()
        early = next((self.data / "models").glob("*.tar.gz"), None) is not None
        if early:  # with yesterday's model, which is nearly always today's as well
            await self._launch_rasa()
        web = await self._launch("web", *self._python("web"), url=self.settings.own_url, health="/healthz")
        worker_url = f"http://127.0.0.1:{_free_port()}"
        worker = await self._launch("worker", *self._python("worker"), url=worker_url, health="/healthz")
        async with self._step("brain"):
            await self._answers(brain)
        await asyncio.gather(self._train(early), self._knowledge(web))
        async with self._step("rasa"):
            await self._answers(self.processes["rasa"])
        async with self._step("web and worker"):
            await self._answers(worker)
            await self._ready(web)
        self._tell()

    def _python(self, command: str) -> tuple[str, ...]:
        return sys.executable, "-m", "contact_hub.cli", command

    async def _launch(
        self, name: str, *command: str, url: str | None = None, health: str | None = None
    ) -> Process:
        port = httpx.URL(url).port if url else None
        told = assistant.environment(self.settings, self.database_url or None)
        if name in {"brain", "rasa"}:
            told |= {f"{name.upper()}_PORT": str(port), f"{name.upper()}_HOST": "127.0.0.1"}
        elif name == "worker":
            told |= {"WORKER_PORT": str(port), "HOST": "127.0.0.1"}
        address = f"{url}{health}" if url and health else None
        process = Process(Program(name, command, told, port, address), self.data / "log", say)
        self.processes[name] = process
        await process.start()
        return process

    async def _launch_rasa(self) -> None:
        url = self.settings.rasa_url
        await self._launch("rasa", *assistant.serve(), url=url, health="/webhooks/civicline/")

    async def _database(self) -> None:
        async with self._step("postgres"):
            if self.settings.database_url is None:
                self.server = await asyncio.to_thread(postgres.start, self.data)
                self.database_url = self.server.url
            else:
                self.database_url = self.settings.database_url.get_secret_value()
            await asyncio.to_thread(migrate.upgrade, self.database_url)

    async def _train(self, early: bool) -> None:
        """Train if what a model is made from changed; Rasa then takes the new model."""
        began = time.monotonic()
        told = assistant.environment(self.settings, self.database_url)
        trainer = Process(Program("train", assistant.train("--json"), told), self.data / "log", say)
        heard: list[str] = []
        trainer.heard = heard.append
        await trainer.start()
        try:
            async with asyncio.timeout(LONGEST_TRAINING):
                waiting = asyncio.create_task(trainer.ended())
                while not waiting.done():
                    await asyncio.wait(
                        {waiting, asyncio.create_task(asyncio.sleep(15))}, return_when="FIRST_COMPLETED"
                    )
                    if not waiting.done():
                        say(f"  training the assistant: {time.monotonic() - began:.0f} s so far ...")
                reason = waiting.result()
        except (TimeoutError, asyncio.CancelledError):
            trainer.kill()
            raise
        try:
            result = json.loads(next(text for text in reversed(heard) if text.startswith("{")))
        except (StopIteration, ValueError):
            result = {}
        if "trained" not in result:
            raise NotStarted(f"Training {reason}: {trainer.last_words()} (all of it: {self._log('train')})")
        if result["trained"]:
            say(f"  assistant trained in {time.monotonic() - began:.0f} s")
        if not early:
            await self._launch_rasa()
        elif result["trained"]:
            await self.processes["rasa"].stop(5)
            await self._launch_rasa()

    async def _knowledge(self, web: Process) -> None:
        """Import the city's articles when they, or what embeds them, changed since the last import."""
        articles = self.city / "knowledge"
        await self._answers(web)
        if not articles.is_dir():
            return
        health = (await self._client.get(f"{self.settings.brain_url}/healthz")).json()
        stamp = self.data / "knowledge.stamp"
        wanted = _digest(articles, str(health.get("fingerprint")), self.database_url)
        if (
            stamp.exists()
            and stamp.read_text() == wanted
            and await asyncio.to_thread(_published, self.database_url)
        ):
            return
        async with self._step("knowledge"):
            self._tell()  # the command finds the brain there
            command = (*self._python("kb"), "import", str(articles), "--json")
            told = assistant.environment(self.settings, self.database_url)
            importer = Process(Program("import", command, told), self.data / "log", say)
            await importer.start()
            reason = await importer.ended()
            if reason != "ended with status 0":
                raise NotStarted(f"The city's articles were not imported: {importer.last_words()}")
            stamp.write_text(wanted)

    async def _answers(self, process: Process) -> None:
        """Wait until a process says that it is well."""
        deadline = time.monotonic() + LONGEST_START
        ended = asyncio.create_task(process.ended())
        try:
            while not ended.done():
                with contextlib.suppress(httpx.HTTPError):
                    assert process.program.health is not None
                    answer = await self._client.get(process.program.health)
                    if answer.status_code == httpx.codes.OK:
                        return
                    self._has_no_problem(process, answer)
                if time.monotonic() > deadline:
                    raise NotStarted(
                        f"{process.program.name} did not become ready in {LONGEST_START:.0f} s "
                        f"(its log: {self._log(process.program.name)})."
                    )
                await asyncio.wait({ended}, timeout=0.1)
            raise await self._failed(process)
        finally:
            ended.cancel()

    def _has_no_problem(self, process: Process, answer: httpx.Response) -> None:
        """Stop waiting for a process that says itself that waiting will not help."""
        with contextlib.suppress(ValueError, AttributeError):
            problem = answer.json().get("problem")
            if problem:
                raise NotStarted(
                    f"{process.program.name}: {problem} (its log: {self._log(process.program.name)})"
                )

    async def _failed(self, process: Process) -> NotStarted:
        name = process.program.name
        return NotStarted(
            f"{name} {await process.ended()}: {process.last_words()} (its log: {self._log(name)})"
        )

    async def _ready(self, web: Process) -> None:
        """Wait until a resident's question would be answered by everything together."""
        deadline = time.monotonic() + LONGEST_START
        missing = "nothing"
        while time.monotonic() < deadline:
            if web.has_ended():
                raise await self._failed(web)
            with contextlib.suppress(httpx.HTTPError, ValueError):
                told = (await self._client.get(f"{self.settings.own_url}/readyz")).json()
                brain = (await self._client.get(f"{self.settings.brain_url}/healthz")).json()
                empty = not (self.city / "knowledge").is_dir()
                if told["ready"] and (brain["ready"] or empty):
                    return
                missing = ", ".join(name for name, well in told.items() if well is False) or "knowledge"
            await asyncio.sleep(0.1)
        raise NotStarted(f"The line did not become ready in {LONGEST_START:.0f} s; missing: {missing}.")

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        yield
        say(f"  {name} ready after {time.monotonic() - self._began:.1f} s")

    def _log(self, name: str) -> Path:
        path = self.data / "log" / f"{name}.log"
        return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

    # Running ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Say where everything is, and start again what dies until told to stop."""
        self._report()
        link = await self.admin_link(self.database_url, self.settings.site_url)
        if link:
            say(f"First administrator, good for one use: {link}")
        say("Ctrl-C stops everything.")
        keepers = [asyncio.create_task(process.keep(self._tell)) for process in self.processes.values()]
        if self.server is not None:
            keepers.append(asyncio.create_task(self._keep_postgres()))
        await self.stop.wait()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep_postgres(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            assert self.server is not None
            if self.server.alive():
                continue
            say("postgres ended; it starts again.")
            try:
                self.server = await asyncio.to_thread(postgres.start, self.data)
                self._tell()
            except PostgresError as error:
                say(str(error))
                await asyncio.sleep(5)

    async def end(self) -> None:
        """Stop everything: first who takes work in, then who helps with it, then the data."""
        for names, patience in ((("web", "worker"), 12.0), (("rasa", "brain"), 8.0)):
            await asyncio.gather(
                *(self.processes[name].stop(patience) for name in names if name in self.processes)
            )
        for process in self.processes.values():
            process.kill()
        if self.server is not None:
            await asyncio.to_thread(self.server.stop)
        await self._client.aclose()
        line.run_file(self.settings).unlink(missing_ok=True)

    def kill(self) -> None:
        """Stop everything at once, for a second Ctrl-C; PostgreSQL recovers at the next start."""
        for process in self.processes.values():
            process.kill()

    # Telling ---------------------------------------------------------------------------------

    def _tell(self) -> None:
        processes = [
            {"name": p.program.name, "pid": p.pid, "port": p.program.port, "restarts": p.restarts}
            for p in self.processes.values()
        ]
        if self.server is not None:
            processes.insert(0, {"name": "postgres", "pid": self.server.pid, "port": None, "restarts": 0})
        line.tell(
            self.settings,
            {
                "pid": os.getpid(),
                "url": self.settings.own_url,
                "site_url": self.settings.site_url,
                "database_url": self.database_url,
                "brain_url": self.settings.brain_url,
                "rasa_url": self.settings.rasa_url,
                "processes": processes,
            },
        )

    def _report(self) -> None:
        say("")
        if self.server is not None:
            total = sum(memory_mb(pid) for pid in self.server.processes())
            where = f"socket {self.server.socket_dir}"
            say(f"{'postgres':<10} pid {self.server.pid:<8} {where:<12} {total:6.0f} MB")
        for process in self.processes.values():
            port = f"port {process.program.port}" if process.program.port else ""
            memory = memory_mb(process.pid or 0)
            say(f"{process.program.name:<10} pid {process.pid:<8} {port:<12} {memory:6.0f} MB")
        say("")
        say(f"Ready in {time.monotonic() - self._began:.1f} s: {self.settings.site_url}")


def say(words: str) -> None:
    """Print a line at once, also into a pipe; a reader who has left is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        print(words, flush=True)


def run_line(settings: Settings, admin_link: AdminLink) -> int:
    """Runs the line until a signal stops it, and gives the exit status."""
    mine = line.claim(settings)
    if mine is None:
        found = line.running(settings) or {}
        where = f" at {found['url']} (pid {found['pid']})" if found else ""
        print(f"Civicline runs on {settings.civicline_data} already{where}.", file=sys.stderr)
        return 1
    line.run_file(settings).unlink(missing_ok=True)  # what a killed line left
    users = line.using_postgres(settings)
    try:
        return asyncio.run(_run(settings, admin_link))
    finally:
        for file in (users, mine):
            if file is not None:
                file.close()


async def _run(settings: Settings, admin_link: AdminLink) -> int:
    running = Line(settings, admin_link)
    loop = asyncio.get_running_loop()
    starting = asyncio.create_task(running.start())

    def stop(name: signal.Signals) -> None:
        if running.stop.is_set():
            say("Stopping at once.")
            running.kill()
            return
        say("\nStopping ...")
        running.stop.set()
        starting.cancel()

    for wish in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(wish, stop, wish)
    try:
        await starting
        await running.run()
    except asyncio.CancelledError:
        pass
    except (NotStarted, PostgresError, SettingsError, psycopg.OperationalError) as error:
        print(str(error), file=sys.stderr, flush=True)
        return 1
    finally:
        await running.end()
    say("Everything is stopped.")
    return 0


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _port_is_free(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((settings.host, settings.port))
        except OSError as error:
            raise NotStarted(
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}): set PORT."
            ) from None


def _digest(folder: Path, *more: str) -> str:
    digest = hashlib.sha256("\n".join(more).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"\n{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _published(database_url: str) -> bool:
    with psycopg.connect(libpq_url(database_url)) as connection:
        return connection.execute("SELECT 1 FROM knowledge_version LIMIT 1").fetchone() is not None
