"""Finding what was said: in every language, by whoever may see it and nobody else, whatever is typed."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import literal, select

from contact_hub.database import Database
from contact_hub.search import upkeep
from contact_hub.search.marking import Piece
from contact_hub.search.query import CannotSearch, parse
from contact_hub.search.service import Found, Order, people, search
from contact_hub.search.walking import Filters, stretches
from contact_hub.staff import tokens
from contact_hub.staff.access import SYSTEM, Scope, Viewer
from contact_hub.staff.models import Role
from contact_hub.timeline import service as timeline
from contact_hub.timeline.reading import first_id_at
from contact_hub.timeline.words import searchable
from contact_hub.timeline.words import tokens as words_of
from tests.hub.line import Line
from tests.hub.test_timeline import happened, one_person

NOW = datetime.now(UTC)
TOKEN = Viewer("token", "a system", uuid.uuid4(), scopes=frozenset({Scope.SEARCH_READ}))


async def find(line: Line, typed: str, viewer: Viewer = SYSTEM, **more: Any) -> Found:
    async with line.database.begin() as session:
        return await search(session, viewer, typed, **more)


async def texts(line: Line, typed: str, viewer: Viewer = SYSTEM, **more: Any) -> list[str | None]:
    return [hit.touchpoint.text for hit in (await find(line, typed, viewer, **more)).hits]


async def all_of(line: Line, typed: str, **more: Any) -> list[uuid.UUID]:
    """Every hit, however many pages it takes."""
    ids: list[uuid.UUID] = []
    cursor: str | None = None
    for _ in range(200):
        found = await find(line, typed, cursor=cursor, **more)
        ids += [hit.touchpoint.id for hit in found.hits]
        cursor = found.next
        if cursor is None:
            return ids
    raise AssertionError("the search never ends")


@pytest.fixture
async def phone(line: Line) -> uuid.UUID:
    """An address to write from."""
    resident = line.texter()
    await resident.does(words="Hello")
    return (await resident.place()).id


# Languages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "said", "typed"),
    [
        ("en", "When are the recycling bins collected?", ["bin", "collection", "BINS", '"recycling bins"']),
        ("en", "“Quoted” words—and dashes… too", ["quoted", "dash", "words dashes"]),
        ("de", "Wann werden die Mülltonnen geleert?", ["mülltonne", "Mulltonne", "muelltonnen"]),
        ("de", "Die Straße ist gesperrt", ["straße", "strasse", "STRASSE"]),
        ("fr", "Les déchets recyclés de l’école", ["dechets", "déchet", "ecole", "recyclé"]),
        ("es", "La recogida de basuras del año", ["basura", "ano", "año", "recogida"]),
        ("it", "La raccolta dei rifiuti in città", ["rifiuto", "citta", "raccolte"]),
        ("pt", "Recolha de lixeiras na estação", ["lixeira", "estacao"]),
        ("tr", "Çöp kutuları ne zaman boşaltılıyor", ["çöp", "cop", "KUTULARI", "kutulari"]),
        ("ar", "متى يتم جمع النِّفايات؟", ["النفايات", "جمع"]),
        ("pl", "Kiedy wywożą śmieci z ulicy Łódzkiej?", ["śmieci", "smieci", "łódzkiej", "lodzkiej"]),
        ("zh", "请问垃圾什么时候收集？", ["垃圾", "收集", "什么时候", "集", "请"]),
        ("ja", "ごみの収集日はいつですか", ["ごみ", "収集日", "収集"]),
        (None, "Wer weiß, welche Sprache das ist", ["weiss", "sprache"]),
    ],
)
async def test_words_are_found_in_their_language(
    line: Line, phone: uuid.UUID, language: str | None, said: str, typed: list[str]
) -> None:
    await happened(line, phone, words="Something else altogether", language="en")
    await happened(line, phone, words=said, language=language)
    for words in typed:
        assert await texts(line, words) == [said], words
    assert await texts(line, "zebra") == []


async def test_a_message_is_filed_in_the_language_it_turned_out_to_be_written_in(line: Line) -> None:
    visitor = await line.visitor(None)
    stored = await visitor.does(words="The bins were collected")
    assert await texts(line, "collecting") == []
    async with line.database.begin() as session:
        await timeline.tell_language(session, stored.touchpoint_id, "en")
    assert await texts(line, "collecting") == ["The bins were collected"]


async def test_stop_words_neither_hide_nor_find(line: Line, phone: uuid.UUID) -> None:
    await happened(line, phone, words="the bin", language="en")
    assert await texts(line, "the bin") == ["the bin"]
    assert await texts(line, "the") == []
    assert await texts(line, "the -bin") == []
    assert await texts(line, "die bin") == []


# Asking ----------------------------------------------------------------------------------------------


async def test_phrases_exclusions_and_beginnings(line: Line, phone: uuid.UUID) -> None:
    for said in ("green garden bin", "garden green bin", "green bin", "greenhouse"):
        await happened(line, phone, words=said, language="en")
    assert await texts(line, '"green bin"') == ["green bin", "garden green bin"]
    assert await texts(line, "green -garden") == ["green bin"]
    assert await texts(line, "green*") == ["greenhouse", "green bin", "garden green bin", "green garden bin"]
    assert await texts(line, 'bin -"garden green"') == ["green bin", "green garden bin"]


@pytest.mark.parametrize("typed", ["R26-00001-8", "r26000018", "R26 00001 8", "r26-00001-8"])
async def test_a_reference_number_is_found_however_it_is_written(
    line: Line, phone: uuid.UUID, typed: str
) -> None:
    about = {"reference": "R26-00001-8", "place": "Mill Lane", "description": "A deep pothole"}
    await happened(line, phone, "report", words=None, payload=about, direction="inner")
    await happened(line, phone, words="What about R26-00001-8?")
    await happened(line, phone, words="What about R26-00002-6?")
    found = await find(line, typed)
    assert [hit.touchpoint.kind for hit in found.hits] == ["text", "report"]
    assert await texts(line, "pothole") == [None]


@pytest.mark.parametrize(
    "typed",
    ["+353 87 123 4567", "087 123 4567", "(087) 123-4567", "00353871234567", "0871234567", "123 4567"],
)
async def test_a_phone_number_is_found_in_any_notation(line: Line, typed: str) -> None:
    caller = line.texter("+353871234567")
    await caller.does(words="Hello")
    citizen = (await caller.place()).citizen_id
    other = line.texter("+353871234568")
    await other.does(words="Please ring my sister on 087-1234567.")
    async with line.database.begin() as session:
        assert [person.citizen_id for person in await people(session, SYSTEM, typed)] == [citizen]
    assert await texts(line, typed) == ["Please ring my sister on 087-1234567."]


async def test_people_are_found_by_name_and_by_address(line: Line, phone: uuid.UUID) -> None:
    await line.sql("UPDATE citizen SET name = 'Łukasz O’Brien-García'")
    (row,) = await line.sql(
        "SELECT c.id, a.value FROM citizen c JOIN address a ON a.citizen_id = c.id WHERE channel = 'sms'"
    )
    async with line.database.begin() as session:
        for typed in ("łukasz", "lukasz garcia", "Łuk", "o'brien", "brien gar", row.value):
            found = [person.citizen_id for person in await people(session, SYSTEM, typed)]
            assert found == [row.id], typed
        for typed in ("", "x", "\x00", "a" * 9999, "'; --", "maria"):
            assert await people(session, SYSTEM, typed) == []


@pytest.mark.parametrize(
    "filters",
    [
        Filters(channels=("sms",)),
        Filters(channels=("telegram", "desk")),
        Filters(kinds=("note",)),
        Filters(kinds=("note", "text"), languages=("de",)),
        Filters(languages=("en", "zh")),
        Filters(since=NOW - timedelta(days=50)),
        Filters(until=NOW - timedelta(days=50)),
        Filters(since=NOW - timedelta(days=900), until=NOW - timedelta(hours=12), channels=("sms",)),
        Filters(channels=("nowhere",)),
        Filters(kinds=("nothing",)),
        Filters(since=NOW, until=NOW - timedelta(days=1)),
    ],
)
async def test_filters_narrow_a_search_to_exactly_what_they_say(line: Line, filters: Filters) -> None:
    _, addresses = await one_person(line)
    written: dict[uuid.UUID, tuple[str, str, str, datetime]] = {}
    for number, hours in enumerate((0, 2, 11, 13, 90, 600, 1100, 1300, 9000, 21000, 40000)):
        for place, (channel, address) in enumerate(addresses.items()):
            kind, language = ("text", "note")[(number + place) % 2], ("en", "de", "zh")[(number + place) % 3]
            at = NOW - timedelta(hours=hours, minutes=1)
            said = await happened(line, address, kind, at, words="Laterne 4711", language=language)
            written[said] = (channel, kind, language, at)

    def fits(channel: str, kind: str, language: str, at: datetime) -> bool:
        return (
            (not filters.channels or channel in filters.channels)
            and (not filters.kinds or kind in filters.kinds)
            and (not filters.languages or language in filters.languages)
            and (filters.since is None or at >= filters.since)
            and (filters.until is None or at < filters.until)
        )

    expected = sorted((said for said, about in written.items() if fits(*about)), reverse=True)
    for limit in (3, 20):
        assert await all_of(line, "4711", filters=filters, limit=limit) == expected
    best = await all_of(line, "4711", filters=filters, limit=7, order=Order.RELEVANCE)
    assert sorted(best, reverse=True) == expected


async def test_a_search_is_narrowed_to_conversations_in_a_state(line: Line) -> None:
    waits, talks = line.texter("+15551230001"), line.texter("+15551230002")
    for resident in (waits, talks):
        await resident.does(words="broken lantern")
    await line.sql(
        "UPDATE conversation SET state = 'waiting' WHERE id = :id", id=(await waits.conversation()).id
    )
    found = await find(line, "lantern", filters=Filters(states=("waiting",)))
    assert [hit.citizen_id for hit in found.hits] == [(await waits.place()).citizen_id]
    assert len((await find(line, "lantern", filters=Filters(states=("waiting", "bot")))).hits) == 2


async def test_pages_of_a_search_stay_put_while_more_is_said(line: Line, phone: uuid.UUID) -> None:
    said = [
        await happened(line, phone, words="lantern", at=NOW - timedelta(hours=n * n)) for n in range(1, 40)
    ]
    for order in Order:
        seen: list[uuid.UUID] = []
        cursor: str | None = None
        while True:
            found = await find(line, "lantern", cursor=cursor, limit=6, order=order)
            seen += [hit.touchpoint.id for hit in found.hits if hit.touchpoint.id in said]
            await happened(line, phone, words="lantern lantern lantern")
            cursor = found.next
            if cursor is None:
                break
        assert sorted(seen, reverse=True) == said, order
        assert len(seen) == len(set(seen))


async def test_the_most_relevant_comes_first_where_asked(line: Line, phone: uuid.UUID) -> None:
    await happened(line, phone, words="bin bin bin collection", language="en")
    await happened(
        line, phone, words="a bin, and much later and after many words a collection", language="en"
    )
    newest = await texts(line, "bin collection")
    best = await texts(line, "bin collection", order=Order.RELEVANCE)
    assert best == list(reversed(newest))


def test_the_walk_leaves_nothing_out() -> None:
    first = first_id_at(NOW - timedelta(days=1500))
    for filters in (
        Filters(),
        Filters(since=NOW - timedelta(days=400)),
        Filters(until=NOW - timedelta(days=77)),
    ):
        for before in (None, first_id_at(NOW - timedelta(days=31)), first):
            steps = list(stretches(before, filters, first))
            for (_, oldest), (newest, _) in itertools.pairwise(steps):
                assert oldest == newest
            assert all(newest > oldest for newest, oldest in steps)
            if steps:
                last = first if filters.since is None else first_id_at(filters.since)
                assert steps[-1][1] == last


# Who may see what ------------------------------------------------------------------------------------


def agent(*departments: str, reason: str | None = None) -> Viewer:
    return Viewer("staff", "Ana", uuid.uuid4(), Role.AGENT, frozenset(departments), reason=reason)


@pytest.mark.parametrize("order", list(Order))
async def test_nobody_is_found_who_may_not_be_seen(line: Line, order: Order) -> None:
    mine, foreign = line.texter("+15551230001"), line.texter("+15551230002")
    for resident in (mine, foreign):
        await resident.does(words="secret lantern 5551230002 R26-00001-8")
    await line.sql("UPDATE citizen SET name = 'Maria Silva'")
    await line.sql(
        "UPDATE conversation SET department = 'waste' WHERE id = :i", i=(await mine.conversation()).id
    )
    await line.sql(
        "UPDATE conversation SET department = 'tax' WHERE id = :i", i=(await foreign.conversation()).id
    )
    seen, unseen = (await mine.place()).citizen_id, (await foreign.place()).citizen_id
    ana = agent("waste")
    for typed in (
        "lantern",
        "secret lantern",
        '"secret lantern"',
        "lant*",
        "R26-00001-8",
        "lantern -nothing",
    ):
        found = await find(line, typed, ana, order=order)
        assert [hit.citizen_id for hit in found.hits] == [seen], typed
        assert found.next is None, "not even the cursor tells of more"
        narrowed = await find(line, typed, ana, order=order, filters=Filters(channels=("sms",)))
        assert [hit.citizen_id for hit in narrowed.hits] == [seen]
    async with line.database.begin() as session:
        assert [p.citizen_id for p in await people(session, ana, "maria")] == [seen]
        assert await people(session, ana, "+15551230002") == []
        assert {p.citizen_id for p in await people(session, agent("x", reason="asked"), "maria")} == {
            seen,
            unseen,
        }
    assert (await find(line, "lantern", agent("parks"))).hits == []
    assert len((await find(line, "lantern", agent("parks", reason="a call"))).hits) == 2
    for role in (Role.MANAGER, Role.ADMIN):
        nobody = Viewer("staff", "Bo", uuid.uuid4(), role, frozenset({"waste", "tax"}), reason="curious")
        assert (await find(line, "lantern", nobody)).hits == []
    assert len((await find(line, "lantern", TOKEN)).hits) == 2


async def test_permission_follows_a_merge_and_a_closed_conversation(line: Line) -> None:
    mine, foreign = line.texter("+15551230001"), line.texter("+15551230002")
    await mine.does(words="mine")
    await foreign.does(words="lantern")
    await line.sql(
        "UPDATE conversation SET department = 'waste' WHERE id = :i", i=(await mine.conversation()).id
    )
    ana = agent("waste")
    assert (await find(line, "lantern", ana)).hits == []
    await line.sql(
        "UPDATE address SET citizen_id = :c WHERE id = :a",
        c=(await mine.place()).citizen_id,
        a=(await foreign.place()).id,
    )
    assert await texts(line, "lantern", ana) == ["lantern"]
    await line.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
    assert (await find(line, "lantern", ana)).hits == []


async def test_an_agent_of_many_sees_the_same_as_an_agent_of_few(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        resident = line.texter(f"+1555123{number:04}")
        await resident.does(words=f"lantern {number}")
        department = "waste" if number % 3 else "tax"
        await line.sql(
            "UPDATE conversation SET department = :d WHERE id = :i",
            d=department,
            i=(await resident.conversation()).id,
        )
    few = await all_of(line, "lantern", viewer=agent("waste"), limit=3)
    monkeypatch.setattr("contact_hub.search.walking.FEW", 2)
    many = await all_of(line, "lantern", viewer=agent("waste"), limit=3)
    assert (len(few), many) == (8, few)


async def test_a_search_without_patience_goes_on_where_it_stopped(
    line: Line, phone: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [await happened(line, phone, words="lantern", at=NOW - timedelta(hours=5 * n)) for n in range(9)]
    monkeypatch.setattr("contact_hub.search.walking.PATIENCE", 0.0)
    found = await find(line, "lantern")
    assert len(found.hits) < len(said)
    assert found.next is not None
    assert await all_of(line, "lantern") == said


# Forgetting ------------------------------------------------------------------------------------------


async def test_what_is_removed_is_found_no_more(line: Line, phone: uuid.UUID) -> None:
    about = await happened(line, phone, words="my card is 4111 canary", payload={"place": "Canary Street"})
    assert len(await texts(line, "canary")) == 1
    async with line.database.begin() as session:
        assert await timeline.reword(session, about, "my card is [removed]", {"place": "[removed]"})
        assert not await timeline.reword(session, uuid.uuid4(), "nothing")
    assert await texts(line, "canary") == []
    assert await texts(line, "4111") == []
    assert await texts(line, "card removed") == ["my card is [removed]"]


async def test_a_text_changed_behind_our_back_is_not_found_by_its_old_words(
    line: Line, phone: uuid.UUID
) -> None:
    about = await happened(line, phone, words="canary")
    await line.sql("UPDATE touchpoint SET text = 'nothing' WHERE id = :id", id=about)
    assert await texts(line, "canary") == []
    assert await line.one("SELECT words IS NULL FROM touchpoint WHERE id = :id", id=about)


async def test_the_index_is_built_anew_while_search_goes_on(line: Line, phone: uuid.UUID) -> None:
    await happened(line, phone, words="lantern")
    done = [name async for name in upkeep.rebuild(line.database)]
    assert len(done) >= 14
    assert await texts(line, "lantern") == ["lantern"]


# Marks -----------------------------------------------------------------------------------------------


async def test_what_was_looked_for_is_marked_and_nothing_else(line: Line, phone: uuid.UUID) -> None:
    said = "<b>My</b> bins & <script>alert('bin')</script> \x02bin\x03, the garbage Müll und 垃圾收集"
    await happened(line, phone, words=said, language="en")

    async def marked(typed: str) -> list[str]:
        (hit,) = (await find(line, typed)).hits
        assert "".join(piece.text for piece in hit.excerpt).lstrip("…") in said
        return [piece.text for piece in hit.excerpt if piece.marked]

    assert await marked("bin") == ["bins", "bin", "bin"]
    assert await marked("mull") == ["Müll"]
    assert await marked("垃圾收") == ["垃圾收"]
    assert await marked("script -nothing") == ["script", "script"]


async def test_a_long_text_is_cut_around_its_first_mark(line: Line, phone: uuid.UUID) -> None:
    await happened(line, phone, words=f"{'before ' * 90}lantern {'after ' * 90}", language="en")
    (hit,) = (await find(line, "lantern")).hits
    assert (hit.excerpt[0], hit.excerpt[-1]) == (Piece("…", False), Piece("…", False))
    assert Piece("lantern", True) in hit.excerpt
    assert sum(len(piece.text) for piece in hit.excerpt) < 260


# Hostile things --------------------------------------------------------------------------------------

HOSTILE = [
    "'", '"', "\\", "'; DROP TABLE touchpoint; --", "a & | ! <-> b", ":*", "(((", ")", "!!!", "lantern:*A",
    "'lantern' & 'x", "\\'", "<->", "foo <100000> bar", "a:b:c", "%_%", "*", "**", "-", "--", '""', '"-"',
    "½ ⑴ ŉ ﷺ", "\u202e\u200b", "\ud7ff", "🎉🎉", "1e999", "0x00", "-1", "+", "R26-", "🇮🇪 lantern", "ａｂｃ",
]  # fmt: skip


@pytest.mark.parametrize("typed", HOSTILE)
async def test_whatever_is_typed_is_looked_for_or_refused(line: Line, phone: uuid.UUID, typed: str) -> None:
    await happened(line, phone, words=f"lantern {typed}")
    try:
        await find(line, typed)
    except CannotSearch:
        pass  # in a sentence, see below
    async with line.database.begin() as session:
        await people(session, SYSTEM, typed)


@pytest.mark.parametrize("typed", ["", "   ", "a\x00b", "x" * 10_000, "lantern " * 40, "-only -these", '"'])
def test_what_cannot_be_looked_for_is_refused_in_a_sentence(typed: str) -> None:
    if typed.startswith("lantern"):
        typed = " ".join(f"word{n}" for n in range(17))
    with pytest.raises(CannotSearch, match=r"\.$"):
        parse(typed)


@given(st.text(max_size=300))
def test_only_letters_and_digits_reach_the_syntax(typed: str) -> None:
    try:
        query = parse(typed)
    except CannotSearch:
        return
    for term in query.terms:
        assert term.words
        assert all(word.isalnum() for word in term.words)


@given(st.text(max_size=400))
def test_every_word_stands_where_it_is_said_to_stand(text: str) -> None:
    ends = [(word.start, word.end) for word in words_of(text)]
    assert all(0 <= start < end <= len(text) for start, end in ends)
    assert all(word.token.isalnum() for word in words_of(text))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=120))
def test_anything_said_can_be_kept_and_any_of_its_words_found(module_database_url: str, said: str) -> None:
    async def keep() -> None:
        database = Database(module_database_url, pool_size=1)
        try:
            async with database.begin() as session:
                kept = await session.scalar(_kept(said))
                assert (kept is None) == (searchable(said) is None)
        finally:
            await database.close()

    if "\x00" not in said:
        asyncio.run(keep())


def _kept(said: str) -> Any:
    kept = timeline._found_by(said, None, "en")
    return select(literal(None) if kept is None else kept)


# The API ---------------------------------------------------------------------------------------------


@pytest.fixture
async def head(line: Line) -> dict[str, str]:
    async with line.database.begin() as session:
        made = await tokens.create_token(session, "test", [Scope.SEARCH_READ])
    return {"Authorization": f"Bearer {made}"}


async def test_other_systems_search_page_by_page(
    line: Line, web: httpx.AsyncClient, phone: uuid.UUID, head: dict[str, str]
) -> None:
    for number in range(5):
        await happened(line, phone, words=f"lantern {number}", language="en")
    await line.sql("UPDATE citizen SET name = 'Lantern Smith'")
    first = (await web.get("/api/v1/search?q=lanterns&limit=3", headers=head)).json()
    assert ["".join(p["text"] for p in hit["excerpt"]) for hit in first["hits"]] == [
        "lantern 4", "lantern 3", "lantern 2",
    ]  # fmt: skip
    assert first["hits"][0]["excerpt"][0] == {"text": "lantern", "marked": True}
    second = (await web.get(f"/api/v1/search?q=lanterns&limit=3&cursor={first['next']}", headers=head)).json()
    assert (len(second["hits"]), second["next"], second["citizens"]) == (2, None, [])
    named = (await web.get("/api/v1/search?q=smith", headers=head)).json()
    assert (len(named["citizens"]), named["hits"]) == (1, [])
    assert await line.count("audit", "action = 'search'") == 3
    assert await line.count("audit", "action = 'search.shown' AND citizen_id IS NOT NULL") == 3
    assert await line.count("audit", "words::text LIKE '%lantern%'") == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("q=x&limit=0", 422), ("q=x&limit=51", 422), ("q=", 422), ("", 422), ("q=%00", 422), ("q=-x", 422),
        (f"q={'x' * 301}", 422), ("q=x&cursor=wrong", 422), ("q=x&cursor=~~~", 422), ("q=x&state=odd", 422),
        ("q=x&from=yesterday", 422), ("q=x&kind=%00", 422), ("q=x&order=best", 422),
        ("q=x&order=relevance", 200),
    ],
)  # fmt: skip
async def test_wrong_searches_are_answered_with_a_reason(
    line: Line, web: httpx.AsyncClient, head: dict[str, str], query: str, status: int
) -> None:
    answer = await web.get(f"/api/v1/search?{query}", headers=head)
    assert answer.status_code == status
    if status == 422:
        assert answer.json()["reason"]


async def test_searches_are_kept_and_nobody_sees_anothers(
    line: Line, web: httpx.AsyncClient, head: dict[str, str]
) -> None:
    given_filters = {"kind": ["note"], "from": "2026-01-01T00:00:00Z", "state": ["waiting"]}
    body = {"name": "Lanterns", "q": "lantern -garden", "filters": given_filters}
    made = await web.post("/api/v1/search/saved", json=body, headers=head)
    assert made.status_code == 201
    await web.post("/api/v1/search/saved", json={**body, "q": "lamp"}, headers=head)
    (kept,) = (await web.get("/api/v1/search/saved", headers=head)).json()
    assert (kept["name"], kept["q"], kept["filters"]["kind"]) == ("Lanterns", "lamp", ["note"])
    assert kept["filters"]["from"] == "2026-01-01T00:00:00Z"
    async with line.database.begin() as session:
        made_token = await tokens.create_token(session, "other", [Scope.SEARCH_READ])
    other = {"Authorization": f"Bearer {made_token}"}
    assert (await web.get("/api/v1/search/saved", headers=other)).json() == []
    assert (await web.delete(f"/api/v1/search/saved/{kept['id']}", headers=other)).status_code == 404
    assert (await web.delete(f"/api/v1/search/saved/{kept['id']}", headers=head)).status_code == 204
    assert (await web.get("/api/v1/search/saved", headers=head)).json() == []
    for wrong in ({**body, "q": "-x"}, {**body, "name": ""}, {**body, "filters": {"colour": ["red"]}}):
        assert (await web.post("/api/v1/search/saved", json=wrong, headers=head)).status_code == 422


async def test_without_leave_to_search_nothing_is_shown(line: Line, web: httpx.AsyncClient) -> None:
    async with line.database.begin() as session:
        made = await tokens.create_token(session, "test", [Scope.TIMELINE_READ])
    for path in ("search?q=hello", "search/saved"):
        assert (await web.get(f"/api/v1/{path}")).status_code == 401
        head = {"Authorization": f"Bearer {made}"}
        assert (await web.get(f"/api/v1/{path}", headers=head)).status_code == 403
