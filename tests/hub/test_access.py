"""Every route crossed with everybody who may ask, about citizens who are not theirs to see.

The routes come from the published description, so that a new one is crossed as well from its first day.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from contact_hub.citizens.models import Conversation
from contact_hub.citizens.sealed import seal, unseal
from contact_hub.flags.models import Flag
from contact_hub.identity.merging import merge
from contact_hub.identity.models import Suggestion
from contact_hub.ratings.models import Rating
from contact_hub.staff import sessions
from contact_hub.staff.access import ALLOWED, GRANTS, SYSTEM, Action, Scope, Viewer, allows
from contact_hub.staff.models import Role, Staff
from contact_hub.staff.service import make
from contact_hub.staff.sessions import Browser
from contact_hub.staff.tokens import create_token
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import Line, Resident, Script, found, passage, turn

CANARY = "canaryword"
UNKNOWN = uuid.UUID("01990000-0000-7000-8000-000000000000")
Head = dict[str, str]


@dataclass
class Target:
    """A citizen to ask about: every id that can stand in a path, and what must never be shown."""

    ids: dict[str, str]
    address: str
    secrets: tuple[str, ...] = ()


@dataclass
class Asker:
    """Somebody who asks, and how."""

    name: str
    head: Head = field(default_factory=dict)
    role: Role | None = None
    scopes: frozenset[str] = frozenset()


# A world ---------------------------------------------------------------------------------------------


async def someone(line: Line, number: str, name: str, department: str | None) -> Target:
    """A citizen with a name, a message, a conversation and a second, unlike person they may be."""
    resident: Resident = line.texter(number)
    await resident.does(words=f"{CANARY} {name}")
    place = await resident.place()
    talk = await resident.conversation()
    await line.sql("UPDATE citizen SET name = :n WHERE id = :c", n=name, c=place.citizen_id)
    await line.sql("UPDATE conversation SET department = :d WHERE id = :t", d=department, t=talk.id)
    said = (await resident.touchpoints())[0]
    ids = {"citizen": place.citizen_id, "conversation": talk.id, "touchpoint": said.id}
    for kin in ("merge", "suggestion"):
        other = line.texter(f"{number}{len(ids)}")
        # Whoever was merged is the same person; somebody who is only like them is not.
        await other.does(words=f"{CANARY} {name if kin == 'merge' else ''}")
        ids[kin] = (await other.place()).citizen_id
    ids["suggestion"] = await _suggested(line, place.citizen_id, ids["suggestion"])
    ids["merge"] = await _merged(line, place.citizen_id, ids["merge"])
    return Target({key: str(value) for key, value in ids.items()}, number, (name, number))


async def _merged(line: Line, citizen: uuid.UUID, other: uuid.UUID) -> uuid.UUID:
    async with line.database.begin() as session:
        return (await merge(session, citizen, other, by=SYSTEM, reason="they said so at the desk")).id


async def _suggested(line: Line, citizen: uuid.UUID, other: uuid.UUID) -> uuid.UUID:
    async with line.database.begin() as session:
        found = Suggestion(first_id=min(citizen, other), second_id=max(citizen, other), likeness="name")
        session.add(found)
        await session.flush()
        return found.id


async def staff_of(line: Line, name: str, role: Role, *departments: str) -> tuple[Staff, Head]:
    """An account that is signed in already."""
    async with line.database.begin() as session:
        person = await make(session, name, role, departments)
        secret = await sessions.begin(session, person, Browser("10.0.0.1", "test"))
    return person, {"Cookie": f"__Host-staff={secret}", "Origin": PUBLIC_URL}


async def token_of(line: Line, label: str, *scopes: Scope) -> Head:
    async with line.database.begin() as session:
        return {"Authorization": f"Bearer {await create_token(session, label, scopes)}"}


@dataclass
class World:
    """Somebody's own citizen, another department's, a sealed one, and nobody at all."""

    own: Target
    foreign: Target
    sealed: Target
    nobody: Target
    askers: list[Asker]
    routes: list[tuple[str, str, dict[str, Any]]]
    description: dict[str, Any]
    web: httpx.AsyncClient

    async def ask(
        self, asker: Asker, route: tuple[str, str, dict[str, Any]], about: Target
    ) -> httpx.Response:
        """One request, filled in from the description of its route."""
        method, path, operation = route
        filled = re.sub(r"{(\w+)}", lambda found: about.ids.get(found[1], str(UNKNOWN)), path)
        query: dict[str, str] = {}
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query" and parameter.get("required"):
                query[parameter["name"]] = str(self._value(parameter["schema"], parameter["name"], about))
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        made = None if body is None else self._value(body, "body", about)
        return await self.web.request(method, filled, params=query, json=made, headers=asker.head)

    def _value(self, schema: dict[str, Any], name: str, about: Target) -> Any:
        """The smallest value that a schema takes; ids and addresses are those of the citizen asked about."""
        while "$ref" in schema:
            schema = self.description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        if name in {"channel", "address"}:
            return {"channel": "sms", "address": about.address}[name]
        if schema.get("format") == "uuid":
            return about.ids["citizen"]
        if "enum" in schema:
            return schema["enum"][0]
        if "const" in schema:
            return schema["const"]
        if "anyOf" in schema:
            return self._value(schema["anyOf"][0], name, about)
        kind = schema.get("type")
        if kind == "object":
            wanted = schema.get("required", ())
            return {key: self._value(schema["properties"][key], key, about) for key in wanted}
        if kind == "array":
            return [self._value(schema["items"], name, about)] * schema.get("minItems", 0)
        if kind in {"integer", "number"}:
            return schema.get("minimum", 1)
        return CANARY if kind == "string" else False


def routes_of(app: FastAPI) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


@pytest.fixture
async def world(line: Line, web: httpx.AsyncClient) -> World:
    app = web._transport.app  # type: ignore[attr-defined]
    own = await someone(line, "+15551230001", "Olga Owned", "waste")
    foreign = await someone(line, "+15551230002", "Fred Foreign", "roads")
    hidden = await someone(line, "+15551230003", "Selma Sealed", "waste")
    askers = [
        Asker("nobody"),
        Asker("wrong token", {"Authorization": "Bearer cvl_wrong"}),
        Asker("wrong cookie", {"Cookie": "__Host-staff=wrong", "Origin": PUBLIC_URL}),
    ]
    for role in Role:
        _, head = await staff_of(line, f"A {role}", role, "waste")
        askers.append(Asker(role, head, role=role))
    _, head = await staff_of(line, "Of none", Role.AGENT)
    askers.append(Asker("agent of no department", head, role=Role.AGENT))
    for scope in Scope:
        head = await token_of(line, scope, scope)
        askers += [Asker(scope, head, scopes=frozenset({scope}))]
    askers.append(Asker("every scope", await token_of(line, "all", *Scope), scopes=frozenset(Scope)))
    named, _ = await staff_of(line, "The only one", Role.AGENT, "waste")
    async with line.database.begin() as session:
        await seal(session, uuid.UUID(hidden.ids["citizen"]), [named.id], "under threat")
    nobody = Target(dict.fromkeys(own.ids, str(UNKNOWN)), "+15551239999")
    found = [route for route in routes_of(app) if route[1].startswith("/api/")]
    return World(own, foreign, hidden, nobody, askers, found, app.openapi(), web)


def same(answer: httpx.Response) -> tuple[int, Any]:
    """What of an answer must not tell one citizen from another."""
    kept = {key: value for key, value in answer.headers.items() if key != "content-length"}
    return answer.status_code, (answer.text, sorted(kept.items()))


# The matrix ------------------------------------------------------------------------------------------


async def test_a_foreign_a_sealed_and_an_unknown_citizen_are_the_same_404_on_every_route(
    line: Line, world: World
) -> None:
    crossed, words = 0, set[str]()
    for route in world.routes:
        of_somebody = any(f"{{{kind}}}" in route[1] for kind in world.own.ids)
        for asker in world.askers:
            nobody = await world.ask(asker, route, world.nobody)
            where = f"{asker.name}: {route[0]} {route[1]}"
            assert nobody.status_code < 500, where
            # Tokens see every citizen whose record is not sealed: a department is a matter of staff.
            strangers = [world.sealed] if asker.scopes else [world.sealed, world.foreign]
            if asker.role is Role.RECORDS:
                strangers = [world.sealed]
            for stranger in strangers:
                answer = await world.ask(asker, route, stranger)
                crossed += 1
                for secret in stranger.secrets:
                    assert secret not in answer.text, where
                assert same(answer) == same(nobody), where
                if asker.role is None and not asker.scopes:
                    assert answer.status_code == 401, where
                elif of_somebody:
                    assert answer.status_code == 404, (where, answer.text)
                    words.add(answer.json()["reason"])
    assert crossed > 300
    assert words == {"There is no such citizen."}
    assert not await line.count("delivery", "author = 'agent'")


async def test_nobody_is_let_in_by_what_belongs_to_others(world: World) -> None:
    """Routes that are described but not of the API: residents' own, and the operators'."""
    app = world.web._transport.app  # type: ignore[attr-defined]
    rest = [route for route in routes_of(app) if not route[1].startswith("/api/")]
    for route in rest:
        for asker in world.askers:
            answer = await world.ask(asker, route, world.own)
            assert answer.status_code != 500, route
            assert not any(secret in answer.text for secret in world.own.secrets), route


READS = {
    "/api/v1/citizens": Action.FIND,
    "/api/v1/citizens/{citizen}": Action.FIND,
    "/api/v1/citizens/{citizen}/timeline": Action.READ,
    "/api/v1/citizens/{citizen}/merges": Action.LINK,
    "/api/v1/citizens/{citizen}/consents": Action.READ,
    "/api/v1/conversations/waiting": Action.QUEUE,
    "/api/v1/conversations/{conversation}": Action.QUEUE,
    "/api/v1/flags": Action.REVIEW,
    "/api/v1/ratings": Action.COUNT,
}


async def test_ones_own_citizens_are_shown_to_exactly_those_whose_work_it_is(world: World) -> None:
    for route in world.routes:
        action = READS.get(route[1])
        if route[0] != "GET" or action is None:
            continue
        for asker in world.askers:
            if asker.name == "agent of no department":
                continue
            kind = "token" if asker.scopes else "staff"
            may = allows(Viewer(kind, "x", role=asker.role, scopes=asker.scopes), action)  # type: ignore[arg-type]
            answer = await world.ask(asker, route, world.own)
            if may:
                assert answer.status_code == 200, (asker.name, route[1], answer.text)
            else:
                assert answer.status_code in {401, 403, 404}, (asker.name, route[1])
                assert not any(secret in answer.text for secret in world.own.secrets)


async def test_flags_and_ratings_are_of_citizens_whom_one_may_see(line: Line, world: World) -> None:
    about = {name: getattr(world, name).ids for name in ("own", "foreign", "sealed")}
    async with line.database.begin() as session:
        for ids in about.values():
            talk = await session.get_one(Conversation, uuid.UUID(ids["conversation"]))
            of = {"conversation_id": talk.id, "address_id": talk.address_id, "channel": "sms"}
            said = uuid.UUID(ids["touchpoint"])
            session.add(Flag(**of, touchpoint_id=said, score=0.7, level="unhappy", signals=[]))
            session.add(Rating(**of, state="given", score=1))
    everybody = {about["own"]["citizen"], about["foreign"]["citizen"]}
    seen = {
        "supervisor": {about["own"]["citizen"]},
        "manager": set[str](),
        "flags:read": everybody,
        "ratings:read": everybody,
        "every scope": everybody,
    }
    for kind in ("flags", "ratings"):
        for asker in world.askers:
            answer = await world.web.get(f"/api/v1/{kind}", headers=asker.head)
            if answer.status_code != 200:
                assert answer.status_code in {401, 403, 404}, (asker.name, answer.text)
                continue
            assert {found["citizen"] for found in answer.json()[kind]} == seen[asker.name], asker.name
    for kind in ("flags", "ratings"):
        pages: list[str] = []
        before = ""
        while len(pages) < 5:
            head = next(asker.head for asker in world.askers if asker.name == "every scope")
            found = (await world.web.get(f"/api/v1/{kind}?limit=1{before}", headers=head)).json()
            pages += [one["citizen"] for one in found[kind]]
            if found["next"] is None:
                break
            before = f"&before={found['next']}"
        assert sorted(pages) == sorted(everybody)


async def test_a_reason_lets_an_agent_look_further_but_not_answer_and_not_under_a_seal(
    line: Line, world: World
) -> None:
    asker = next(asker for asker in world.askers if asker.name == "agent")
    head = {**asker.head, "X-Reason": "asked by phone, T-1234"}
    path = f"/api/v1/citizens/{world.foreign.ids['citizen']}/timeline"
    assert (await world.web.get(path, headers=asker.head)).status_code == 404
    assert (await world.web.get(path, headers=head)).status_code == 200
    (row,) = await line.sql("SELECT action, words FROM audit ORDER BY number DESC LIMIT 1")
    assert (row.action, row.words["reason"]) == ("timeline.read", "asked by phone, T-1234")
    for talk in (world.foreign.ids["conversation"], world.sealed.ids["conversation"]):
        answer = await world.web.post(
            f"/api/v1/conversations/{talk}/messages", headers=head, json={"text": "Hello"}
        )
        assert answer.status_code == 404
    sealed_path = f"/api/v1/citizens/{world.sealed.ids['citizen']}/timeline"
    assert (await world.web.get(sealed_path, headers=head)).status_code == 404


async def test_a_closed_conversation_is_a_supervisors_and_no_longer_an_agents(
    line: Line, world: World
) -> None:
    await line.sql(
        "UPDATE conversation SET state = 'closed', closed_at = now() WHERE id = :t",
        t=world.own.ids["conversation"],
    )
    path = f"/api/v1/citizens/{world.own.ids['citizen']}/timeline"
    seen = {
        asker.name: (await world.web.get(path, headers=asker.head)).status_code
        for asker in world.askers
        if asker.name in {"agent", "supervisor"}
    }
    assert seen == {"agent": 404, "supervisor": 200}


async def test_what_no_department_has_is_the_first_departments(line: Line, world: World) -> None:
    await line.sql("UPDATE conversation SET department = NULL")
    path = f"/api/v1/citizens/{world.foreign.ids['citizen']}"
    _, front = await staff_of(line, "At the front", Role.AGENT, "contact_centre")
    _, waste = await staff_of(line, "At the bins", Role.AGENT, "waste")
    assert (await world.web.get(path, headers=front)).status_code == 200
    assert (await world.web.get(path, headers=waste)).status_code == 404


async def test_danger_is_everybodys_to_see_and_to_answer_as_long_as_it_lasts(
    line: Line, world: World
) -> None:
    path = f"/api/v1/citizens/{world.foreign.ids['citizen']}"
    sealed = f"/api/v1/citizens/{world.sealed.ids['citizen']}"
    heads = [(await staff_of(line, name, Role.AGENT, "parks"))[1] for name in ("Ann", "Ben")]

    async def seen() -> list[int]:
        return [(await world.web.get(path, headers=head)).status_code for head in heads]

    assert await seen() == [404, 404]
    await line.sql("UPDATE conversation SET state = 'waiting', waiting_since = now(), priority = 100")
    assert await seen() == [200, 200]
    assert (await world.web.get(sealed, headers=heads[0])).status_code == 404, "a seal holds in danger too"
    which = world.foreign.ids["conversation"]
    reply = f"/api/v1/conversations/{which}/messages"
    assert (await world.web.post(reply, headers=heads[0], json={"text": "Good day"})).status_code == 202
    assert await seen() == [200, 200]
    await line.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
    assert await seen() == [404, 404]


async def test_a_sealed_record_is_seen_by_the_people_named_and_merged_seals_by_those_on_all(
    line: Line, world: World
) -> None:
    citizen = uuid.UUID(world.sealed.ids["citizen"])
    path = f"/api/v1/citizens/{citizen}"
    both, head_both = await staff_of(line, "On both", Role.AGENT, "waste")
    first, head_first = await staff_of(line, "On one", Role.AGENT, "waste")
    manager, head_manager = await staff_of(line, "A named manager", Role.MANAGER, "waste")
    async with line.database.begin() as session:
        assert await unseal(session, citizen, "to begin anew")
        await seal(session, citizen, [both.id, first.id, manager.id], "a councillor")
    for head, status in ((head_both, 200), (head_first, 200), (head_manager, 404)):
        assert (await world.web.get(path, headers=head)).status_code == status
    async with line.database.begin() as session:
        await seal(session, citizen, [both.id], "under threat")
    assert (await world.web.get(path, headers=head_both)).status_code == 200
    assert (await world.web.get(path, headers=head_first)).status_code == 404
    async with line.database.begin() as session:
        assert await unseal(session, citizen, "the threat is over")
        assert not await unseal(session, citizen, "again")
    agent = next(asker for asker in world.askers if asker.name == "agent")
    assert (await world.web.get(path, headers=agent.head)).status_code == 200


async def test_a_records_officer_seals_a_record_for_the_colleagues_named(line: Line, world: World) -> None:
    officer = next(asker for asker in world.askers if asker.role is Role.RECORDS)
    agent = next(asker for asker in world.askers if asker.name == "agent")
    path = f"/api/v1/citizens/{world.own.ids['citizen']}"
    unknown = await world.web.post(
        f"{path}/seal", headers=officer.head, json={"readers": ["Nobody"], "reason": "under threat"}
    )
    assert (unknown.status_code, unknown.json()["reason"]) == (422, "There is nobody called Nobody.")
    sealing = {"readers": ["the only one", "A records"], "reason": "under threat"}
    done = await world.web.post(f"{path}/seal", headers=officer.head, json=sealing)
    assert (done.status_code, done.json()["readers"]) == (201, ["The only one", "A records"])
    assert (await world.web.get(path, headers=agent.head)).status_code == 404
    (entry,) = await line.sql(
        "SELECT viewer_name AS who, words FROM audit"
        " WHERE action = 'citizen.sealed' AND viewer_kind = 'staff'"
    )
    assert (entry.who, entry.words["reason"]) == ("A records", "under threat")
    opened = await world.web.post(f"{path}/unseal", headers=officer.head, json={"reason": "it is over"})
    assert opened.json() == {"unsealed": True}
    again = await world.web.post(f"{path}/unseal", headers=officer.head, json={"reason": "it is over"})
    assert again.json() == {"unsealed": False}
    assert (await world.web.get(path, headers=agent.head)).status_code == 200


# The tables ------------------------------------------------------------------------------------------


def actions(*names: str) -> frozenset[Action]:
    return frozenset(Action[name] for name in names)


DESK = ("FIND", "READ", "SEARCH", "QUEUE", "ANSWER", "NOTE", "LINK")


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.AGENT, actions(*DESK)),
        (Role.SUPERVISOR, actions(*DESK, "ASSIGN", "REVIEW", "COUNT", "WRITE")),
        (Role.MANAGER, actions("REVIEW", "COUNT", "WRITE", "SWITCH")),
        (Role.RECORDS, actions("FIND", "EXPORT", "ERASE", "HOLD", "SEAL", "AUDIT")),
        (Role.ADMIN, actions("STAFF", "TOKENS", "AUDIT", "EVENTS")),
    ],
)
def test_each_role_may_do_what_the_design_says_and_nothing_more(role: Role, may: Sequence[Action]) -> None:
    viewer = Viewer("staff", "x", role=role)
    assert {action for action in Action if allows(viewer, action)} == set(may) == ALLOWED[role]


def test_every_scope_grants_something_and_none_grants_what_is_for_people() -> None:
    for scope in Scope:
        viewer = Viewer("token", "x", scopes=frozenset({scope}))
        assert {action for action in Action if allows(viewer, action)} == GRANTS[scope] != set()
        assert not GRANTS[scope] & actions("STAFF", "TOKENS", "SEAL", "AUDIT")
    assert not any(allows(Viewer("token", "x", scopes=frozenset({"*", "admin"})), a) for a in Action)
    assert not any(allows(Viewer("staff", "x"), action) for action in Action)
    assert all(allows(SYSTEM, action) for action in Action)


# Once ------------------------------------------------------------------------------------------------


async def test_a_repeated_post_has_one_effect_and_one_answer(line: Line, world: World) -> None:
    head = next(asker for asker in world.askers if asker.name == "every scope").head
    path = f"/api/v1/conversations/{world.own.ids['conversation']}/messages"
    keyed = {**head, "Idempotency-Key": "first-try"}
    answers = await asyncio.gather(
        *(world.web.post(path, headers=keyed, json={"text": "Good day"}) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert sorted(answer.headers.get("idempotent-replayed", "") for answer in answers) == ["", *["true"] * 4]
    assert await line.count("touchpoint", "text = 'Good day'") == 1
    other = await world.web.post(path, headers=keyed, json={"text": "Something else"})
    assert (other.status_code, other.json()["error"]) == (409, "conflict")
    elsewhere = f"/api/v1/conversations/{world.own.ids['conversation']}/close"
    assert (await world.web.post(elsewhere, headers=keyed)).status_code == 409
    again = await world.web.post(
        path, headers={**head, "Idempotency-Key": "second"}, json={"text": "Good day"}
    )
    assert again.status_code == 202
    assert await line.count("touchpoint", "text = 'Good day'") == 2
    kept = str(await line.sql("SELECT encode(body, 'escape') FROM idempotent_answer"))
    assert world.own.ids["citizen"] not in kept
    await line.sql("DELETE FROM token")
    assert (await world.web.post(path, headers=keyed, json={"text": "Good day"})).status_code == 401


async def test_what_was_refused_is_tried_anew_with_the_same_key(line: Line, world: World) -> None:
    head = {
        **next(asker for asker in world.askers if asker.name == "every scope").head,
        "Idempotency-Key": "k",
    }
    path = f"/api/v1/conversations/{world.own.ids['conversation']}/messages"
    await line.sql(
        "UPDATE conversation SET state = 'agent', holder = 'Ana' WHERE id = :t",
        t=world.own.ids["conversation"],
    )
    refused = await world.web.post(path, headers=head, json={"text": "Good day"})
    assert (refused.status_code, "Ana" in refused.json()["reason"]) == (409, True)
    await line.sql("UPDATE conversation SET holder = 'all' WHERE id = :t", t=world.own.ids["conversation"])
    assert (await world.web.post(path, headers=head, json={"text": "Good day"})).status_code == 202


async def test_a_talk_belongs_to_the_department_whose_matter_was_last_spoken_of(
    talking: Line, script: Script
) -> None:
    phone = talking.texter()
    script.on_turn = lambda asked: turn({"answer": found("answered", passage())})
    await phone.says("When is my recycling collected?")
    assert (await phone.conversation()).department == "waste"
    script.on_turn = lambda asked: turn(
        {"report": {"category": "pothole", "place": "Mill Lane", "description": "Deep", "photo": None}}
    )
    await phone.says("There is a pothole in Mill Lane")
    assert (await phone.conversation()).department == "roads"
    script.on_turn = lambda asked: turn({"answer": found("refused", passage())})
    await phone.says("What is love?")
    assert (await phone.conversation()).department == "roads"
    await phone.says("now there is a gas leak")
    assert (await phone.conversation()).department is None, "danger is no matter of the last topic"
