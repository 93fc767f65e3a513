"""An index for counting what was sent lately"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_delivery_channel_first_tried_at",
        "delivery",
        ["channel", "first_tried_at"],
        postgresql_include=["address_id", "segments"],
    )


def downgrade() -> None:
    op.drop_index("ix_delivery_channel_first_tried_at", table_name="delivery")
