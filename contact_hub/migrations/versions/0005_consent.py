"""What a citizen gave, on which terms"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Taking a decision back is another decision. Erasing a person still deletes theirs.
APPEND_ONLY = """
CREATE FUNCTION consent_is_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a consent is never changed, only followed by another';
END $$;
CREATE TRIGGER consent_is_never_changed BEFORE UPDATE ON consent
    FOR EACH ROW EXECUTE FUNCTION consent_is_never_changed();
"""


def upgrade() -> None:
    op.create_table(
        "consent_text",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_consent_text")),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("supersedes", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_consent_address_id_address")),
        sa.ForeignKeyConstraint(
            ["text_sha256"], ["consent_text.sha256"], name=op.f("fk_consent_text_sha256_consent_text")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index("ix_consent_address_id_purpose_id", "consent", ["address_id", "purpose", "id"])
    op.execute(APPEND_ONLY)
    # What leaves for a purpose other than answering is asked about once more as it leaves.
    op.add_column("delivery", sa.Column("purpose", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("delivery", "purpose")
    op.drop_table("consent")
    op.execute("DROP FUNCTION consent_is_never_changed()")
    op.drop_table("consent_text")
