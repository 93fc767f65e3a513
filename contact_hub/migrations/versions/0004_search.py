"""Search over all history"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from contact_hub.timeline.words import configuration, searchable

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Whoever changes a text without saying what may be found of it makes it not to be found at all.
FORGET = """
CREATE FUNCTION touchpoint_forgets_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.words IS NOT DISTINCT FROM OLD.words THEN
        NEW.words := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER touchpoint_forgets_words BEFORE UPDATE ON touchpoint FOR EACH ROW
    WHEN (NEW.text IS DISTINCT FROM OLD.text)
    EXECUTE FUNCTION touchpoint_forgets_words()
"""

# A name as hasty fingers type it: without case, accents and punctuation.
NAME_WORDS = """
CREATE FUNCTION name_words(name text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    to_tsvector('simple', regexp_replace(
        replace(replace(replace(translate(
            regexp_replace(lower(normalize(name, NFKD)), '[\u0300-\u036f]', '', 'g'),
            'łøđı', 'lodi'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), '[-''’.,"()/]+', ' ', 'g'))
"""

# The end of a phone number is the same in every notation.
NUMBER_END = r"""
CREATE FUNCTION number_end(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE WHEN value ~ '^\+?[0-9]{7,15}$' THEN right(value, 7) END
"""


def upgrade() -> None:
    op.add_column("touchpoint", sa.Column("words", postgresql.TSVECTOR(), nullable=True))
    _fill()
    # A filtered page reads this index alone, however many rows it has to pass over.
    op.drop_index("ix_touchpoint_address_id_id", table_name="touchpoint")
    op.create_index(
        "ix_touchpoint_address_id_id",
        "touchpoint",
        ["address_id", "id"],
        unique=False,
        postgresql_include=["kind", "direction"],
    )
    op.create_index(
        "ix_touchpoint_words",
        "touchpoint",
        ["words", sa.text("(ARRAY[kind, language])")],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("words IS NOT NULL"),
    )
    op.execute(FORGET)
    op.execute(NAME_WORDS)
    op.create_index("ix_citizen_name_words", "citizen", [sa.text("name_words(name)")], postgresql_using="gin")
    op.execute(NUMBER_END)
    op.create_index("ix_address_number_end", "address", [sa.text("number_end(value)")], unique=False)
    op.create_table(
        "saved_search",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_search")),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_saved_search_owner_id_name")),
    )


def _fill() -> None:
    """Make what was written before findable, in the language its conversation was held in."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT t.id, t.text, t.payload, coalesce(t.language, c.language) FROM touchpoint t"
            " LEFT JOIN conversation c ON c.id = t.conversation_id"
        ),
        execution_options={"stream_results": True, "yield_per": 1000},
    )
    fill = sa.text(
        "UPDATE touchpoint SET words = to_tsvector(CAST(:configuration AS regconfig), :words),"
        " language = :language WHERE id = :id"
    )
    for some in rows.partitions():
        found = [
            {"id": row[0], "words": words, "configuration": configuration(row[3]), "language": row[3]}
            for row in some
            if (words := searchable(row[1], row[2])) is not None
        ]
        if found:
            connection.execute(fill, found)


def downgrade() -> None:
    op.drop_table("saved_search")
    op.drop_index("ix_address_number_end", table_name="address")
    op.execute("DROP FUNCTION number_end(text)")
    op.drop_index("ix_citizen_name_words", table_name="citizen", postgresql_using="gin")
    op.execute("DROP FUNCTION name_words(text)")
    op.execute("DROP TRIGGER touchpoint_forgets_words ON touchpoint")
    op.execute("DROP FUNCTION touchpoint_forgets_words()")
    op.drop_index("ix_touchpoint_words", table_name="touchpoint", postgresql_using="gin")
    op.drop_index("ix_touchpoint_address_id_id", table_name="touchpoint")
    op.create_index("ix_touchpoint_address_id_id", "touchpoint", ["address_id", "id"], unique=False)
    op.drop_column("touchpoint", "words")
