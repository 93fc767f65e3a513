"""A POST that carries an `Idempotency-Key` has its effect once, however often it is sent.

The key's row is written in the transaction of the effect. A second request with the same key waits for
that commit and gets the first one's answer; when the first one is rolled back, the second takes its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, HTTPException, Response
from pydantic import BaseModel, StringConstraints
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import now, sealer_of
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import IdempotentAnswer
from contact_hub.web.errors import Refusal

Key = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")] | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of your own, new for every new request: a repetition with the same one"
        " has no second effect and gets the first one's answer. Kept for a day.",
    ),
]
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Refusal, "description": "It cannot be done as things are, or the key was used otherwise"}
}
_PURPOSE = "idempotent answer"


async def once(
    session: AsyncSession,
    viewer: Viewer,
    key: str | None,
    what: str,
    asked: BaseModel | None,
    work: Callable[[], Awaitable[BaseModel]],
    *,
    status: int = 200,
) -> Response:
    """Do the work and answer, or repeat the answer that this viewer's key had; raises a 409.

    `what` names method and path, `asked` is the request's body: the same key for something else is a
    mistake of the caller's.
    """
    if key is None:
        return _answer((await work()).model_dump_json(by_alias=True).encode(), status)
    who = f"{viewer.kind}:{viewer.id}"
    request = f"{what}\n{'' if asked is None else asked.model_dump_json()}"
    digest = hashlib.sha256(request.encode("utf-8", "replace")).digest()
    begun = await session.scalar(
        insert(IdempotentAnswer)
        .values(viewer=who, key=key, request_hash=digest, created_at=now())
        .on_conflict_do_nothing()
        .returning(IdempotentAnswer.key)
    )
    about = f"{who}\n{key}".encode()
    if begun is None:
        kept = await session.get_one(IdempotentAnswer, (who, key), populate_existing=True)
        if kept.request_hash != digest:
            raise HTTPException(409, "This Idempotency-Key was used for another request.")
        assert kept.body is not None
        assert kept.status is not None
        body = sealer_of(session).unseal(_PURPOSE, kept.body, about)
        return _answer(body, kept.status, {"Idempotent-Replayed": "true"})
    body = (await work()).model_dump_json(by_alias=True).encode()
    await session.execute(
        update(IdempotentAnswer)
        .where(IdempotentAnswer.viewer == who, IdempotentAnswer.key == key)
        .values(status=status, body=sealer_of(session).seal(_PURPOSE, body, about))
    )
    return _answer(body, status)


def _answer(body: bytes, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
