"""One conversation on the desk: who sees it, what stands there, what can be done, and what it never does."""

from __future__ import annotations

import httpx

from tests.hub.desk import colleague, words_of
from tests.hub.line import Line


async def test_an_agent_reads_the_whole_history_of_a_resident(line: Line, web: httpx.AsyncClient) -> None:
    resident = line.texter()
    await resident.does(words="The lamp in Mill Lane is dark.")
    talk = await resident.conversation()
    ada = await colleague(line, web, "Ada Byron")
    page = await ada.get(f"/desk/c/{talk.id}")
    assert page.status_code == 200, page.text
    assert "The lamp in Mill Lane is dark." in words_of(page.text)
