"""People, courses, submissions, and what the jobs make of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT

revision = "0001"
down_revision = None

_LONG = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
_MOMENT = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "bgjobs_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("namespace", sa.String(253), nullable=True),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("written_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("claim", sa.String(16), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_bgjobs_outbox_claim", "bgjobs_outbox", ["claim"])
    op.create_index("ix_bgjobs_outbox_due_at", "bgjobs_outbox", ["due_at"])
    op.create_table(
        "courses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("course_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("prompt", _LONG, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("rubric", _LONG, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_assignments_course_id", "assignments", ["course_id"])
    op.create_table(
        "enrolments",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("course_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "course_id"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_enrolments_course_id", "enrolments", ["course_id"])
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("read_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "key"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "reports",
        sa.Column("course_id", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("computed_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["course_id"], ["courses.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("course_id"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "sign_ins",
        sa.Column("digest", sa.CHAR(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_sign_ins_expires_at", "sign_ins", ["expires_at"])
    op.create_index("ix_sign_ins_user_id", "sign_ins", ["user_id"])
    op.create_table(
        "submissions",
        sa.Column("id", sa.CHAR(16), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("student_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("content", _LONG, nullable=False),
        sa.Column("file_name", sa.String(255), nullable=False),
        sa.Column("submitted_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["student_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("student_id", "assignment_id", "key"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_submissions_assignment_id", "submissions", ["assignment_id"])
    op.create_table(
        "findings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("later_id", sa.CHAR(16), nullable=False),
        sa.Column("earlier_id", sa.CHAR(16), nullable=False),
        sa.Column("similarity", sa.Double(), nullable=False),
        sa.Column("passages", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["earlier_id"], ["submissions.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["later_id"], ["submissions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("later_id", "earlier_id"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_findings_earlier_id", "findings", ["earlier_id"])
    op.create_table(
        "grades",
        sa.Column("submission_id", sa.CHAR(16), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("criteria", sa.JSON(), nullable=False),
        sa.Column("graded_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("submission_id"),
        mysql_charset="utf8mb4",
    )
    op.create_table(
        "job_states",
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("submission_id", sa.CHAR(16), nullable=False),
        sa.Column("title", sa.String(40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempts_allowed", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", _MOMENT, nullable=True),
        sa.Column("resource_version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_job_states_submission_id", "job_states", ["submission_id"])
    op.create_table(
        "overrides",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.CHAR(16), nullable=False),
        sa.Column("by_user_id", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["by_user_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        mysql_charset="utf8mb4",
    )
    op.create_index("ix_overrides_submission_id", "overrides", ["submission_id"])
    op.create_table(
        "program_runs",
        sa.Column("submission_id", sa.CHAR(16), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("submission_id"),
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    op.drop_table("program_runs")
    op.drop_table("overrides")
    op.drop_table("job_states")
    op.drop_table("grades")
    op.drop_table("findings")
    op.drop_table("submissions")
    op.drop_table("sign_ins")
    op.drop_table("reports")
    op.drop_table("notifications")
    op.drop_table("enrolments")
    op.drop_table("assignments")
    op.drop_table("users")
    op.drop_table("courses")
    op.drop_table("bgjobs_outbox")
