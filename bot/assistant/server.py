"""Runs the assistant: `python server.py [--port N] [--interface A] [--model FILE]`."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

# Said before Rasa is imported: it reports home unless told not to, and numpy
# takes every core unless told not to.
os.environ["RASA_TELEMETRY_ENABLED"] = "false"
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
warnings.filterwarnings("ignore")

from components import logs, validation  # noqa: E402
from components.brain import BrainAway, WrongModel, brain  # noqa: E402
from components.endpoint import BrainEndpoint  # noqa: E402
from components.settings import ROOM, Settings, SettingsError, from_environment  # noqa: E402
from components.trackers import Trackers  # noqa: E402
from components.turns import Turns  # noqa: E402
from rasa.core.channels.channel import register  # noqa: E402
from rasa.core.lock_store import InMemoryLockStore  # noqa: E402
from rasa.core.nlg import NaturalLanguageGenerator  # noqa: E402
from rasa.core.run import create_http_input_channels  # noqa: E402
from rasa.core.utils import AvailableEndpoints  # noqa: E402
from sanic import Sanic  # noqa: E402

logger = logging.getLogger("server")

LARGEST_BODY = 1024 * 1024
SHUTDOWN_SECONDS = 8


def main() -> None:
    """Load the newest model, then answer the hub until told to stop."""
    arguments = _arguments()
    logs.configure()
    try:
        settings = from_environment()
        turns = load(settings, arguments.model or newest(settings.models))
    except (SettingsError, WrongModel) as error:
        sys.exit(str(error))
    app = application(turns)
    # What has been loaded stays; the collector need not look at it on every pass.
    gc.collect()
    gc.freeze()
    app.run(
        host=arguments.interface or settings.host,
        port=arguments.port or settings.port,
        workers=1,
        access_log=False,
        debug=False,
    )


def newest(models: Path) -> Path:
    """Return the model trained last, or say how to train one."""
    found = sorted(models.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise SettingsError(f"There is no trained model in {models}: run `civicline train`.")
    return found[-1]


def load(settings: Settings, model: Path) -> Turns:
    """Return the processor with its model, tracker store and way to the actions."""
    if not settings.secret:
        raise SettingsError("INTERNAL_SECRET is not set: the assistant answers only processes that know it.")
    if not settings.database_url:
        raise SettingsError(
            "RASA_DATABASE_URL is not set: the assistant keeps its conversations in PostgreSQL."
        )
    # endpoints.yml and credentials.yml name these variables.
    os.environ["BRAIN_URL"] = settings.brain_url
    os.environ["INTERNAL_SECRET"] = settings.secret
    os.environ["RASA_DATABASE_URL"] = settings.database_url
    validation.install()
    endpoints = AvailableEndpoints.read_endpoints(str(ROOM / "endpoints.yml"))
    trackers = Trackers(None, **endpoints.tracker_store.kwargs, url=endpoints.tracker_store.url)
    turns = Turns(
        model,
        trackers,
        InMemoryLockStore(),
        NaturalLanguageGenerator.create(None, None),
        BrainEndpoint.of(endpoints.action),
        on_circuit_break=_circuit_broken,
    )
    turns.trackers = trackers
    turns._locks = {}
    trackers.domain = turns.domain
    turns.nlg = NaturalLanguageGenerator.create(None, turns.domain)
    try:
        brain().fingerprint(timeout=5.0)
    except BrainAway as error:
        logger.warning("%s Intents come from letters alone until it does.", error)
    trackers.prepare()
    return turns


def application(turns: Turns) -> Sanic:
    """Return the web application with the hub's channel and nothing else."""
    app = Sanic("civicline_assistant", configure_logging=False)
    app.config.REQUEST_MAX_SIZE = LARGEST_BODY
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = SHUTDOWN_SECONDS
    app.config.KEEP_ALIVE_TIMEOUT = 75
    app.ctx.turns = turns
    register(create_http_input_channels(None, str(ROOM / "credentials.yml")), app, route="/webhooks/")

    @app.listener("after_server_start")
    async def started(app: Sanic, _: Any) -> None:
        logger.info("ready: model %s, embedding %s", turns.model_filename, brain().expected)

    @app.listener("after_server_stop")
    async def stopped(app: Sanic, _: Any) -> None:
        await brain().close()
        await turns.action_endpoint.close()

    return app


def _circuit_broken(*_: Any) -> None:
    from components.turns import TurnFailed

    raise TurnFailed("the rules did not come to an end")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Civicline's assistant")
    parser.add_argument("--port", type=int, help="default: RASA_PORT or 8702")
    parser.add_argument("--interface", help="default: RASA_HOST or 127.0.0.1")
    parser.add_argument("--model", type=Path, help="default: the newest in $CIVICLINE_DATA/models")
    return parser.parse_args()


if __name__ == "__main__":
    main()
