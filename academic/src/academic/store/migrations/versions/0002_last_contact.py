"""When the API server last answered the service."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import DATETIME

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "last_contact",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "at", sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id"),
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    op.drop_table("last_contact")
