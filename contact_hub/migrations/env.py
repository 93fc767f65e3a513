"""Alembic's environment: runs on the connection that `operations.migrate` hands over."""

from __future__ import annotations

from typing import Any

from alembic import context

from contact_hub.models import Base


def include(item: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
    """Leave alone what is not the hub's: Rasa's tracker table and the touchpoint's partitions."""
    if kind != "table":
        return True
    return not (reflected and name is not None and (name == "events" or name.startswith("touchpoint_")))


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    include_object=include,
    compare_type=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
