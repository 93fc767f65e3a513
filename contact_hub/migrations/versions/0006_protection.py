"""Staff accounts, sessions, sealed records and the audit"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(astext_type=sa.Text())
MOMENT = sa.DateTime(timezone=True)

# Against slips of our own: whoever may drop the trigger is told by the chain.
APPEND_ONLY = """
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('civicline.audit_is_shortened', true) = 'yes' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION 'the audit is only added to';
END $$;
CREATE TRIGGER audit_is_only_added_to BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_only_added_to()
"""


def upgrade() -> None:
    _staff()
    _sealed_records()
    _audit()


def _staff() -> None:
    op.add_column("staff", sa.Column("departments", JSON, nullable=False, server_default="[]"))
    op.alter_column("staff", "departments", server_default=None)
    op.add_column("staff", sa.Column("totp_secret", sa.LargeBinary(), nullable=True))
    op.add_column("staff", sa.Column("totp_since", MOMENT, nullable=True))
    op.add_column("staff", sa.Column("totp_step", sa.BigInteger(), nullable=True))
    op.add_column("staff", sa.Column("oidc_issuer", sa.Text(), nullable=True))
    op.add_column("staff", sa.Column("oidc_subject", sa.Text(), nullable=True))
    op.create_unique_constraint(
        op.f("uq_staff_oidc_issuer_oidc_subject"), "staff", ["oidc_issuer", "oidc_subject"]
    )
    op.create_index("uq_staff_name_lower", "staff", [sa.text("lower(name)")], unique=True)
    op.add_column("invitation", sa.Column("departments", JSON, nullable=False, server_default="[]"))
    op.alter_column("invitation", "departments", server_default=None)
    op.add_column("invitation", sa.Column("staff_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_invitation_staff_id_staff"), "invitation", "staff", ["staff_id"], ["id"], ondelete="CASCADE"
    )
    op.add_column("token", sa.Column("created_by", sa.Text(), nullable=True))
    op.create_table(
        "recovery_code",
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_recovery_code_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("staff_id", "code_hash", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "staff_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=False),
        sa.Column("second_step", sa.Boolean(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_staff_session_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_session")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_staff_session_secret_hash")),
    )
    op.create_index("ix_staff_session_staff_id", "staff_session", ["staff_id"], unique=False)
    op.create_table(
        "throttle",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttle")),
    )
    op.create_table(
        "oidc_attempt",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("verifier", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_oidc_attempt")),
    )
    op.create_table(
        "idempotent_answer",
        sa.Column("viewer", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("viewer", "key", name=op.f("pk_idempotent_answer")),
    )


def _sealed_records() -> None:
    op.add_column("conversation", sa.Column("department", sa.Text(), nullable=True))
    op.create_table(
        "sealed_record",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=False),
        sa.Column("sealed_at", MOMENT, nullable=False),
        sa.Column("sealed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("merge_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["citizen_id"],
            ["citizen.id"],
            name=op.f("fk_sealed_record_citizen_id_citizen"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sealed_record")),
    )
    op.create_index("ix_sealed_record_citizen_id", "sealed_record", ["citizen_id"], unique=False)
    op.create_table(
        "sealed_reader",
        sa.Column("sealed_record_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sealed_record_id"],
            ["sealed_record.id"],
            name=op.f("fk_sealed_reader_sealed_record_id_sealed_record"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_sealed_reader_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sealed_record_id", "staff_id", name=op.f("pk_sealed_reader")),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("viewer_kind", sa.Text(), nullable=False),
        sa.Column("viewer_id", sa.Uuid(), nullable=True),
        sa.Column("viewer_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("citizen_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("words", JSON, nullable=True),
        sa.Column("words_digest", sa.LargeBinary(), nullable=False),
        sa.Column("key_mark", sa.Text(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_citizen_id", "audit", ["citizen_id", "number"], unique=False)
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("before_first", sa.LargeBinary(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("key_mark", sa.Text(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.drop_table("audit_head")
    op.drop_table("audit")
    op.execute("DROP FUNCTION audit_is_only_added_to")
    op.drop_table("sealed_reader")
    op.drop_table("sealed_record")
    op.drop_column("conversation", "department")
    for table in ("idempotent_answer", "oidc_attempt", "throttle", "staff_session", "recovery_code"):
        op.drop_table(table)
    op.drop_column("token", "created_by")
    op.drop_column("invitation", "staff_id")
    op.drop_column("invitation", "departments")
    op.drop_index("uq_staff_name_lower", table_name="staff")
    for column in (
        "oidc_subject",
        "oidc_issuer",
        "totp_step",
        "totp_since",
        "totp_secret",
        "departments",
    ):
        op.drop_column("staff", column)
