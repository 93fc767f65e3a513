"""How addresses are proved, linked and merged"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Until now every address was proved by somebody writing from it.
PROVED = """
    UPDATE address SET verified_at = coalesce(verified_at, created_at), proof = coalesce(proof, CASE
        WHEN channel = 'desk' THEN 'inner' WHEN channel IN ('web_chat', 'console') THEN 'session'
        ELSE 'wrote' END)
"""


def upgrade() -> None:
    op.add_column("address", sa.Column("born_to", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_address_born_to_citizen"), "address", "citizen", ["born_to"], ["id"], ondelete="SET NULL"
    )
    op.create_index(
        "ix_address_born_to", "address", ["born_to"], postgresql_where=sa.text("born_to IS NOT NULL")
    )
    op.add_column("address", sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(PROVED)
    op.add_column(
        "conversation", sa.Column("unfinished", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.create_index(
        "ix_conversation_unfinished",
        "conversation",
        ["address_id"],
        postgresql_where=sa.text("unfinished IS NOT NULL"),
    )
    op.add_column(
        "chat_session", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index("ix_citizen_name", "citizen", [sa.text("lower(name)")])
    op.create_table(
        "merge",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=False),
        sa.Column("absorbed_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Uuid(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("undo_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["survivor_id"], ["citizen.id"], name=op.f("fk_merge_survivor_id_citizen"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["absorbed_id"], ["citizen.id"], name=op.f("fk_merge_absorbed_id_citizen"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge")),
        sa.UniqueConstraint("number", name=op.f("uq_merge_number")),
    )
    op.create_index("ix_merge_survivor_id", "merge", ["survivor_id"])
    op.create_index("ix_merge_absorbed_id", "merge", ["absorbed_id"])
    op.create_table(
        "link_code",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["address_id"], ["address.id"], name=op.f("fk_link_code_address_id_address"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_link_code")),
    )
    op.create_index("ix_link_code_address_id", "link_code", ["address_id"])
    op.create_table(
        "link_tries",
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["address_id"], ["address.id"], name=op.f("fk_link_tries_address_id_address"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("address_id", name=op.f("pk_link_tries")),
    )
    op.create_table(
        "suggestion",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("second_id", sa.Uuid(), nullable=False),
        sa.Column("likeness", sa.Text(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dismissed_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["first_id"], ["citizen.id"], name=op.f("fk_suggestion_first_id_citizen"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["second_id"], ["citizen.id"], name=op.f("fk_suggestion_second_id_citizen"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suggestion")),
        sa.UniqueConstraint(
            "first_id", "second_id", "likeness", name=op.f("uq_suggestion_first_id_second_id_likeness")
        ),
    )
    op.create_index("ix_suggestion_second_id", "suggestion", ["second_id"])


def downgrade() -> None:
    """Addresses stay where merges have left them: the ledger goes."""
    for table in ("suggestion", "link_tries", "link_code", "merge"):
        op.drop_table(table)
    op.drop_index("ix_citizen_name", table_name="citizen")
    op.drop_column("chat_session", "shared")
    op.drop_column("conversation", "unfinished")
    op.drop_column("address", "retired_at")
    op.drop_column("address", "born_to")  # and its index
