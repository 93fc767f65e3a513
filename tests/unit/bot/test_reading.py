"""A turn is read in time, or its language alone."""

from __future__ import annotations

import asyncio
import threading

from bot import reading


async def test_a_busy_reader_costs_the_reading_but_never_the_language() -> None:
    reader, busy = reading.Reader(), threading.Event()
    try:
        reader._embedder._thread.submit(busy.wait)
        read = await reading.read(reader, "Das ist doch alles nutzlos hier!", "en", [])
        assert read["language"] == "de"
        assert (read["unhappy"], read["repeats"], read["danger"]) == (None, None, None)
        busy.set()
        await asyncio.get_running_loop().run_in_executor(reader._embedder._thread, busy.wait)
        again = await reading.read(reader, "Das ist doch alles nutzlos hier!", "en", [])
        assert again["unhappy"] is not None
    finally:
        busy.set()
        reader.close()


async def test_while_the_models_load_a_language_is_read() -> None:
    read = await reading.read(None, "Wann wird mein Müll abgeholt?", None, [])
    assert read == {"language": "de", "confidence": read["confidence"], **reading.UNREAD}


async def test_danger_is_heard_at_first_sight_where_a_second_look_would_come_too_late() -> None:
    reader, busy = reading.Reader(), threading.Event()
    try:
        reader._second._thread.submit(busy.wait)
        read = await reading.read(reader, "My house is on fire, help", "en", [])
        assert read["unhappy"] is not None
        assert read["danger"]["kind"] == "emergency"
        calm = await reading.read(reader, "I'm dying to know when the pool opens", "en", [])
        assert calm["unhappy"] is not None
        assert calm["danger"] is None
    finally:
        busy.set()
        reader.close()
