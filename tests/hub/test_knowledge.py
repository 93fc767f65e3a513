"""The knowledge base in versions: incremental, atomic, and fetched by brains that know the secret."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from contact_hub.knowledge.service import ArticleIn, Imported, NotImported, import_articles
from tests.hub.line import SECRET, Line, Script


def article(number: int, text: str = "", **more: Any) -> ArticleIn:
    given: dict[str, Any] = {
        "article": f"waste/{number}",
        "language": "en",
        "title": f"Article {number}",
        "text": text or f"Words of article {number}.",
        "url": f"https://www.larkhaven.example/waste/{number}",
        "questions": (f"What about {number}?",),
        **more,
    }
    return ArticleIn(**given)


async def bring(line: Line, articles: Sequence[ArticleIn], collection: str = "here") -> Imported:
    return await import_articles(line.database, line.neighbours, articles, collection)


async def published(line: Line, number: int | None = None) -> set[tuple[str, str]]:
    """The articles of a version, by default the newest, with their words."""
    rows = await line.sql(
        "SELECT v.article, v.text FROM knowledge_entry e"
        " JOIN article_version v ON v.id = e.article_version_id"
        " WHERE e.number = coalesce(:number, (SELECT max(number) FROM knowledge_version))",
        number=number,
    )
    return {(row.article, row.text) for row in rows}


async def test_what_did_not_change_is_not_embedded_again(talking: Line, script: Script) -> None:
    first = await bring(talking, [article(n) for n in range(20)])
    assert (first.version, first.articles, first.embedded, first.changed) == (1, 20, 20, True)
    again = await bring(talking, [article(n) for n in range(20)])
    assert (again.version, again.embedded, again.changed) == (1, 0, False)
    assert sum(len(batch) for batch in script.asked_passages) == 20
    third = await bring(talking, [article(0, "New words."), *(article(n) for n in range(1, 20))])
    assert (third.version, third.embedded, third.removed) == (2, 1, 1)
    assert [batch[0]["text"] for batch in script.asked_passages[-1:]] == ["New words."]


async def test_what_left_a_collection_leaves_the_knowledge_and_others_stay(talking: Line) -> None:
    await bring(talking, [article(1), article(2)], "folder")
    await bring(talking, [article(3)], "website")
    assert {name for name, _ in await published(talking)} == {"waste/1", "waste/2", "waste/3"}
    done = await bring(talking, [article(2)], "folder")
    assert done.removed == 1
    assert {name for name, _ in await published(talking)} == {"waste/2", "waste/3"}
    assert {name for name, _ in await published(talking, 2)} == {"waste/1", "waste/2", "waste/3"}
    await bring(talking, [], "folder")
    assert {name for name, _ in await published(talking)} == {"waste/3"}


async def test_the_same_article_from_elsewhere_replaces_it(talking: Line) -> None:
    await bring(talking, [article(1, "Old words.")], "folder")
    await bring(talking, [article(1, "New words.")], "website")
    assert await published(talking) == {("waste/1", "New words.")}


@pytest.mark.parametrize("failure", [(500, {}), (200, ["nonsense"]), (200, {"fingerprint": "model-1"})])
async def test_a_brain_that_fails_in_the_middle_changes_nothing(
    talking: Line, script: Script, failure: tuple[int, Any]
) -> None:
    await bring(talking, [article(1)])

    def fails_later(articles: list[dict[str, Any]]) -> Any:
        return failure if len(script.asked_passages) > 2 else script.embedded(articles)

    script.on_passages = fails_later
    with pytest.raises(NotImported, match="stopped answering"):
        await bring(talking, [article(n, "Changed.") for n in range(30)])
    assert await published(talking) == {("waste/1", "Words of article 1.")}
    assert await talking.count("article_version") == 1
    assert await talking.count("knowledge_version") == 1


async def test_a_model_that_changes_in_the_middle_changes_nothing(talking: Line, script: Script) -> None:
    def changes(articles: list[dict[str, Any]]) -> Any:
        told = script.embedded(articles)
        return {**told, "fingerprint": "model-2"} if len(script.asked_passages) > 1 else told

    script.on_passages = changes
    with pytest.raises(NotImported, match="model changed"):
        await bring(talking, [article(n) for n in range(30)])
    assert await talking.count("knowledge_version") == 0


async def test_without_a_brain_nothing_is_imported(line: Line) -> None:
    with pytest.raises(NotImported, match="does not answer"):
        await bring(line, [article(1)])


async def test_a_new_model_embeds_everything_that_is_published(talking: Line, script: Script) -> None:
    await bring(talking, [article(1), article(2)], "folder")
    await bring(talking, [article(3)], "website")
    script.fingerprint = "model-2"
    done = await bring(talking, [article(3)], "website")
    assert (done.embedded, done.changed) == (3, True)
    assert len(await published(talking)) == 3
    prints = await talking.sql(
        "SELECT DISTINCT v.fingerprint FROM knowledge_entry e JOIN article_version v"
        " ON v.id = e.article_version_id WHERE e.number = :n",
        n=done.version,
    )
    assert [row.fingerprint for row in prints] == ["model-2"]
    script.fingerprint = "model-1"  # and back: every vector is still there
    back = await bring(talking, [article(3)], "website")
    assert (back.embedded, back.changed) == (0, True)
    assert (
        await talking.one("SELECT dimensions FROM knowledge_version WHERE number = :n", n=back.version) == 4
    )


async def test_imports_at_once_lose_nothing_of_each_other(talking: Line, script: Script) -> None:
    """The slower one began before the faster one published, and must not bring back what that replaced."""
    await bring(talking, [article(1, "Old."), article(2)], "folder")
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()
    started = asyncio.Event()

    async def slow(articles: list[dict[str, Any]]) -> dict[str, Any]:
        if articles[0]["article"] == "waste/9":
            loop.call_soon_threadsafe(started.set)
            while not go_on.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.01)
        return script.embedded(articles)

    script.on_passages = slow
    slower = asyncio.create_task(bring(talking, [article(9)], "website"))
    await started.wait()
    await bring(talking, [article(1, "New.")], "folder")  # replaces one, removes the other
    go_on.set()
    await slower
    assert await published(talking) == {("waste/1", "New."), ("waste/9", "Words of article 9.")}


async def test_many_imports_at_once_are_each_a_version(talking: Line) -> None:
    done = await asyncio.gather(*(bring(talking, [article(n)], f"place {n}") for n in range(4)))
    assert sorted(d.version for d in done) == [1, 2, 3, 4]
    assert len(await published(talking)) == 4


# What brains fetch -----------------------------------------------------------------------------------


async def test_a_brain_fetches_what_is_newer(talking: Line, web: httpx.AsyncClient) -> None:
    mine = {"X-Internal-Secret": SECRET}
    assert (await web.get("/internal/knowledge", headers=mine)).status_code == 204
    await bring(talking, [article(1), article(2, language="es", title="Artículo")])
    answer = await web.get("/internal/knowledge?after=0", headers=mine)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        meta = json.loads(packed.read("meta.json"))
        rows = [json.loads(row) for row in packed.read("passages.jsonl").decode().splitlines()]
        vectors = packed.read("vectors.f32")
    assert (meta["version"], meta["fingerprint"], meta["dimensions"]) == (1, "model-1", 4)
    assert len(vectors) == 4 * 4 * len(rows)
    assert len(struct.unpack(f"<{4 * len(rows)}f", vectors)) == 8
    assert [row["title"] for row in rows] == ["Article 1", "Artículo"]
    fields = {"passage", "article", "version", "language", "title", "url", "kind", "ordinal", "text"}
    assert set(rows[0]) == fields
    assert (await web.get("/internal/knowledge?after=1", headers=mine)).status_code == 204
    await bring(talking, [article(1)])
    assert (await web.get("/internal/knowledge?after=1", headers=mine)).status_code == 200


@pytest.mark.parametrize("header", [{}, {"X-Internal-Secret": ""}, {"X-Internal-Secret": "wrong"}])
async def test_nobody_else_fetches_it(web: httpx.AsyncClient, header: dict[str, str]) -> None:
    assert (await web.get("/internal/knowledge", headers=header)).status_code == 403


async def test_a_secret_in_no_known_writing_is_refused_and_not_a_fault(web: httpx.AsyncClient) -> None:
    answer = await web.get("/internal/knowledge", headers=[(b"X-Internal-Secret", "geh\u00e4m".encode())])
    assert answer.status_code == 403
    assert (
        await web.get("/internal/knowledge?after=-1", headers={"X-Internal-Secret": SECRET})
    ).status_code == 422
    assert (
        await web.get("/internal/knowledge?after=x", headers={"X-Internal-Secret": SECRET})
    ).status_code == 422
