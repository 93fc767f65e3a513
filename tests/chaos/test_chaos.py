"""Nothing is lost and nothing is said twice when processes are killed in the middle of it."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.chaos.run import PROCESSES, Chaos, Result, show
from tests.whole import WholeLine

FIRST = int(time.time()) % 100_000 * 10  # nobody meets a conversation of an earlier run


async def chaos(line: WholeLine, capsys: pytest.CaptureFixture[str], first: int, **how: object) -> Result:
    """Run it and show what was found, whether it is good or bad."""
    with capsys.disabled():
        print()
        result = await Chaos(line, first_number=first, **how).run()  # type: ignore[arg-type]
        show(result)
    return result


@pytest.mark.timeout(1500)
def test_each_process_is_killed_once_in_the_middle_of_24_conversations(
    line: WholeLine, capsys: pytest.CaptureFixture[str]
) -> None:
    result = asyncio.run(chaos(line, capsys, FIRST, conversations=24, at_once=16, thinks=(0.2, 2.0)))

    assert [kill.process for kill in result.kills][: len(PROCESSES)] == list(PROCESSES)
    assert result.problems == []


@pytest.mark.chaos
@pytest.mark.timeout(3000)
def test_each_process_is_killed_in_the_middle_of_200_conversations(
    line: WholeLine, capsys: pytest.CaptureFixture[str]
) -> None:
    result = asyncio.run(chaos(line, capsys, FIRST + 1000, conversations=200, at_once=24))

    assert [kill.process for kill in result.kills][: len(PROCESSES)] == list(PROCESSES)
    assert all(kill.conversations for kill in result.kills)
    assert result.problems == []
