"""What a visitor's browser sends, read into `Inbound`; anything wrong is Malformed with a reason to show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from channels.base.contract import Inbound, InboundKind, Upload
from channels.base.errors import Malformed
from channels.base.language import language_tag
from channels.base.widget.uploads import kind_of, upload

MAX_JSON = 1_048_576  # bytes: room to refuse a long text by its characters, with the reason that fits
MAX_FIELD = 65_536

M = TypeVar("M", bound=BaseModel)


class MessageIn(BaseModel):
    """A message as the browser sends it: words, or the press of a button."""

    model_config = ConfigDict(extra="ignore", strict=True)

    client_id: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
    text: str = ""
    button: Annotated[str, StringConstraints(max_length=40, pattern=r"^[\x21-\x7e]+$")] | None = None
    language: str | None = None


class SessionIn(BaseModel):
    """What a browser may tell when it opens a session."""

    model_config = ConfigDict(extra="ignore", strict=True)

    language: str | None = None
    shared: bool = False  # a device that several people use, such as one in a library


def object_of(data: bytes | str) -> dict[str, Any]:
    """Reads a JSON object; raises Malformed for anything else.

    The standard library's reader, because pydantic's refuses a message whose last emoji was cut in half.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("The request is not valid JSON.", status=400) from None
    if not isinstance(found, dict):
        raise Malformed("The request must be a JSON object.")
    return found


def parsed(model: type[M], fields: Mapping[str, Any]) -> M:
    """Reads fields as a model; raises Malformed with the first thing that is wrong."""
    whole = {name: _whole(value) if isinstance(value, str) else value for name, value in fields.items()}
    try:
        return model.model_validate(whole)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the request"
        raise Malformed(f"{where}: {first['msg']}.") from None


async def body_of(request: Request, most: int = MAX_JSON) -> bytes:
    """Reads a small body; raises Malformed (413) as soon as it is larger than `most` bytes."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise Malformed(f"The request is larger than {most // 1024} KiB.", status=413)
    return bytes(data)


def media_type(request: Request) -> str:
    """Gives the request's media type without parameters, lower case."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def message_of(request: Request, *, most_mb: int, most_files: int) -> tuple[MessageIn, list[Upload]]:
    """Reads a message from JSON or from a form with files."""
    kind = media_type(request)
    if kind == "application/json":
        return parsed(MessageIn, object_of(await body_of(request))), []
    if kind != "multipart/form-data":
        raise Malformed("Send application/json, or multipart/form-data with files.", status=415)
    try:
        form = await request.form(max_files=most_files, max_fields=8, max_part_size=MAX_FIELD)
    except HTTPException as error:
        if error.status_code != 400:  # the size limit above us speaks for itself
            raise
        raise Malformed(f"The form cannot be read: {error.detail}", status=400) from None
    try:
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        message = parsed(MessageIn, fields)
        if sum(file.size or 0 for file in files) > most_mb * 1_000_000:
            raise Malformed(f"That is larger than {most_mb} MB. Please send a smaller file.", status=413)
        uploads = [upload(file.filename or "", file.content_type or "", await file.read()) for file in files]
    finally:
        await form.close()
    return message, uploads


def inbound_of(
    session: str, account: str, message: MessageIn, uploads: Sequence[Upload], *, most_characters: int
) -> Inbound:
    """Makes the touchpoint-to-be; the same `client_id` of the same session is the same touchpoint."""
    text = clean(message.text)
    if len(text) > most_characters:
        raise Malformed(f"At most {most_characters:,} characters, please: this has {len(text):,}.")
    payload: dict[str, Any] = {"client_id": message.client_id}
    kind = InboundKind.TEXT
    if message.button is not None:
        kind, text, payload["button"] = InboundKind.BUTTON, "", message.button
    elif uploads:
        kind = kind_of(uploads[0].mime)
    return Inbound(
        channel="web_chat",
        account=account,
        external_id=f"{session}:{message.client_id}",
        address=session,
        kind=kind,
        text=text,
        payload=payload,
        message_id=message.client_id,
        provider_time=datetime.now(UTC),
        language_hint=language_tag(message.language),
    )


def clean(text: str) -> str:
    """Takes out what no database or page can hold: NUL bytes and halves of surrogate pairs."""
    return _whole(text.replace("\x00", ""))


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
