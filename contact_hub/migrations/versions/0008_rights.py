"""Erasures, holds and retention"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Removing a person follows every reference to their addresses and conversations.
_REFERENCES = (
    ("conversation", "address_id"),
    ("attachment", "address_id"),
    ("delivery", "address_id"),
    ("delivery", "conversation_id"),
    ("report", "conversation_id"),
    ("chat_ticket", "session_id"),
)
_NOBODYS = ("address_id", "conversation_id", "touchpoint_id")  # of a report kept without its person


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_table(
        "kept_count",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("month", "channel", "measure", "key", name=op.f("pk_kept_count")),
    )
    op.create_table(
        "kept_silence",
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_kept_silence")),
    )
    op.create_table(
        "legal_hold",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legal_hold")),
    )
    op.create_index("ix_legal_hold_citizen_id", "legal_hold", ["citizen_id"])
    op.create_table(
        "data_export",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(), nullable=True),
        sa.Column("code_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("codes_sent", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["address_id"], ["address.id"], name=op.f("fk_data_export_address_id_address")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_export")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_data_export_token_hash")),
    )
    op.create_index("ix_data_export_address_id", "data_export", ["address_id"])
    op.create_index("ix_data_export_citizen_id", "data_export", ["citizen_id"])
    for table, column in _REFERENCES:
        op.create_index(f"ix_{table}_{column}", table, [column])
    for column in _NOBODYS:
        op.alter_column("report", column, nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM report WHERE address_id IS NULL")
    for column in _NOBODYS:
        op.alter_column("report", column, nullable=False)
    for table, column in _REFERENCES:
        op.drop_index(f"ix_{table}_{column}", table_name=table)
    op.drop_table("data_export")
    op.drop_table("legal_hold")
    op.drop_table("kept_silence")
    op.drop_table("kept_count")
    op.drop_table("erasure")
