"""Flags, waiting for a person, the desk, ratings, reviews, drafts and the bot's switch"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bot_switch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("off_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("off_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("on_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("on_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bot_switch")),
    )
    op.create_index(
        "uq_bot_switch_off",
        "bot_switch",
        [sa.text("coalesce(topic, '')")],
        unique=True,
        postgresql_where=sa.text("on_at IS NULL"),
    )
    op.create_table(
        "draft_article",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("article", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("answers", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("written_by", sa.Text(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed_by", sa.Text(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("knowledge_version", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft_article")),
    )
    op.create_table(
        "flag",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("signals", JSONB(), nullable=False),
        sa.Column("handed_over", sa.Boolean(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dismissed_by", sa.Text(), nullable=True),
        sa.Column("dismissed_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_flag_address_id_address")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_flag_conversation_id_conversation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag")),
    )
    op.create_index("ix_flag_address_id", "flag", ["address_id"])
    op.create_index("ix_flag_conversation_id", "flag", ["conversation_id"])
    op.create_index("ix_flag_raised_at", "flag", ["raised_at"])
    op.create_table(
        "held_reply",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("files", JSONB(), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_held_reply_conversation_id_conversation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held_reply")),
    )
    op.create_index("ix_held_reply_conversation_id", "held_reply", ["conversation_id"])
    op.create_table(
        "mention",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_mention_conversation_id_conversation")
        ),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_mention_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mention")),
    )
    op.create_index("ix_mention_conversation_id", "mention", ["conversation_id"])
    op.create_index("ix_mention_unseen", "mention", ["staff_id"], postgresql_where=sa.text("seen_at IS NULL"))
    op.create_table(
        "presence",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("typed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("draft", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_presence_conversation_id_conversation")
        ),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_presence_staff_id_staff"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("conversation_id", "staff_id", name=op.f("pk_presence")),
    )
    op.create_table(
        "rating",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("question_id", sa.Uuid(), nullable=True),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("comment_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_rating_address_id_address")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_rating_conversation_id_conversation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rating")),
        sa.UniqueConstraint("conversation_id", name=op.f("uq_rating_conversation_id")),
    )
    _index_ratings()
    op.create_table(
        "reading",
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_reading_address_id_address")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_reading_conversation_id_conversation")
        ),
        sa.PrimaryKeyConstraint("touchpoint_id", name=op.f("pk_reading")),
    )
    op.create_index("ix_reading_address_id", "reading", ["address_id"])
    op.create_index("ix_reading_conversation_id", "reading", ["conversation_id"])
    op.create_table(
        "wait",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("department", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("promised_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended", sa.Text(), nullable=True),
        sa.Column("taken_by", sa.Text(), nullable=True),
        sa.Column("first_word_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_wait_address_id_address")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_wait_conversation_id_conversation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wait")),
    )
    op.create_index("ix_wait_address_id", "wait", ["address_id"])
    op.create_index("ix_wait_conversation_id", "wait", ["conversation_id"])
    op.create_index("ix_wait_ended_at", "wait", ["ended_at"])
    op.create_index("ix_wait_since", "wait", ["since"])
    op.create_index(
        "uq_wait_open", "wait", ["conversation_id"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("flag_id", sa.Uuid(), nullable=True),
        sa.Column("drawn_for", sa.Text(), nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("stands_for", sa.Float(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("judged_by", sa.Text(), nullable=True),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_review_conversation_id_conversation")
        ),
        sa.ForeignKeyConstraint(
            ["flag_id"], ["flag.id"], name=op.f("fk_review_flag_id_flag"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_index("ix_review_conversation_id", "review", ["conversation_id"])
    op.create_index("ix_review_day", "review", ["day"])
    op.create_index(
        "uq_review_conversation_id",
        "review",
        ["conversation_id"],
        unique=True,
        postgresql_where=sa.text("flag_id IS NULL"),
    )
    op.create_index(
        "uq_review_flag_id",
        "review",
        ["flag_id"],
        unique=True,
        postgresql_where=sa.text("flag_id IS NOT NULL"),
    )
    op.add_column("report", sa.Column("district", sa.Text(), nullable=True))
    # Figures of a period read that period, and reviews are drawn day by day.
    op.create_index("ix_report_created_at", "report", ["created_at"])
    op.create_index("ix_conversation_opened_at", "conversation", ["opened_at"])
    op.create_index("ix_conversation_closed_at", "conversation", ["closed_at"])
    op.create_index("ix_answer_created_at", "answer", ["created_at"])
    op.add_column("answer", sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("promised_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("unanswered_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("holder_seen_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversation", sa.Column("read_from", sa.Uuid(), nullable=True))
    op.add_column("conversation", sa.Column("resolution", sa.Text(), nullable=True))
    op.create_index(
        "ix_conversation_held", "conversation", ["holder"], postgresql_where=sa.text("state = 'agent'")
    )
    op.create_index(
        "ix_conversation_idle",
        "conversation",
        ["last_activity_at"],
        postgresql_where=sa.text("state = 'bot'"),
    )
    # Every event that is no text by its kind: a page of some kinds passes over nothing.
    op.create_index(
        "ix_touchpoint_address_id_kind_id",
        "touchpoint",
        ["address_id", "kind", "id"],
        postgresql_where=sa.text("kind <> 'text'"),
    )
    _add_unread()
    op.add_column("staff", sa.Column("languages", JSONB(), nullable=False, server_default="[]"))
    op.alter_column("staff", "languages", server_default=None)
    op.add_column("invitation", sa.Column("languages", JSONB(), nullable=False, server_default="[]"))
    op.alter_column("invitation", "languages", server_default=None)


def _index_ratings() -> None:
    op.create_index("ix_rating_address_id", "rating", ["address_id"])
    op.create_index("ix_rating_rated_at", "rating", ["rated_at"])
    op.create_index("ix_rating_due", "rating", ["due_at"], postgresql_where=sa.text("state = 'due'"))
    op.create_index("ix_rating_asked", "rating", ["asked_at"], postgresql_where=sa.text("state = 'asked'"))


def downgrade() -> None:
    op.drop_column("invitation", "languages")
    op.drop_column("staff", "languages")
    _drop_unread()
    op.drop_index(
        "ix_touchpoint_address_id_kind_id",
        table_name="touchpoint",
        postgresql_where=sa.text("kind <> 'text'"),
    )
    op.drop_index(
        "ix_conversation_idle", table_name="conversation", postgresql_where=sa.text("state = 'bot'")
    )
    op.drop_index(
        "ix_conversation_held", table_name="conversation", postgresql_where=sa.text("state = 'agent'")
    )
    op.drop_column("conversation", "resolution")
    op.drop_column("conversation", "read_from")
    op.drop_column("conversation", "snoozed_until")
    op.drop_column("conversation", "holder_seen_at")
    op.drop_column("conversation", "unanswered_since")
    op.drop_column("conversation", "promised_at")
    op.drop_column("answer", "told_at")
    op.drop_index("ix_answer_created_at", table_name="answer")
    op.drop_index("ix_conversation_closed_at", table_name="conversation")
    op.drop_index("ix_conversation_opened_at", table_name="conversation")
    op.drop_index("ix_report_created_at", table_name="report")
    op.drop_column("report", "district")
    op.drop_index("uq_review_flag_id", table_name="review", postgresql_where=sa.text("flag_id IS NOT NULL"))
    op.drop_index(
        "uq_review_conversation_id", table_name="review", postgresql_where=sa.text("flag_id IS NULL")
    )
    op.drop_index("ix_review_day", table_name="review")
    op.drop_index("ix_review_conversation_id", table_name="review")
    op.drop_table("review")
    op.drop_index("uq_wait_open", table_name="wait", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index("ix_wait_since", table_name="wait")
    op.drop_index("ix_wait_ended_at", table_name="wait")
    op.drop_index("ix_wait_conversation_id", table_name="wait")
    op.drop_index("ix_wait_address_id", table_name="wait")
    op.drop_table("wait")
    op.drop_index("ix_reading_conversation_id", table_name="reading")
    op.drop_index("ix_reading_address_id", table_name="reading")
    op.drop_table("reading")
    op.drop_index("ix_rating_asked", table_name="rating", postgresql_where=sa.text("state = 'asked'"))
    op.drop_index("ix_rating_due", table_name="rating", postgresql_where=sa.text("state = 'due'"))
    op.drop_index("ix_rating_rated_at", table_name="rating")
    op.drop_index("ix_rating_address_id", table_name="rating")
    op.drop_table("rating")
    op.drop_table("presence")
    op.drop_index("ix_mention_unseen", table_name="mention", postgresql_where=sa.text("seen_at IS NULL"))
    op.drop_index("ix_mention_conversation_id", table_name="mention")
    op.drop_table("mention")
    op.drop_index("ix_held_reply_conversation_id", table_name="held_reply")
    op.drop_table("held_reply")
    op.drop_index("ix_flag_raised_at", table_name="flag")
    op.drop_index("ix_flag_conversation_id", table_name="flag")
    op.drop_index("ix_flag_address_id", table_name="flag")
    op.drop_table("flag")
    op.drop_table("draft_article")
    op.drop_index("uq_bot_switch_off", table_name="bot_switch", postgresql_where=sa.text("on_at IS NULL"))
    op.drop_table("bot_switch")


def _add_unread() -> None:
    op.add_column("chat_session", sa.Column("unread_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("chat_session", sa.Column("unread_seq", sa.Integer(), nullable=True))
    op.add_column("chat_session", sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_chat_session_unread_since",
        "chat_session",
        ["unread_since"],
        postgresql_where=sa.text("unread_since IS NOT NULL"),
    )


def _drop_unread() -> None:
    op.drop_index(
        "ix_chat_session_unread_since",
        table_name="chat_session",
        postgresql_where=sa.text("unread_since IS NOT NULL"),
    )
    op.drop_column("chat_session", "noticed_at")
    op.drop_column("chat_session", "unread_seq")
    op.drop_column("chat_session", "unread_since")
