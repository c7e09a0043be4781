"""The tables. Migrations in migrations/ bring a database to this shape."""

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

meetings = Table(
    "meetings",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("log_id", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("summary", Text, nullable=False),  # a cache for lists of meetings; the log is the truth
)

entries = Table(
    "entries",
    metadata,
    Column("meeting", String(40), ForeignKey("meetings.id"), primary_key=True),
    Column("rev", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("command_id", String(40), nullable=False),
    Column("command_type", String(60), nullable=False),
    Column("change", Text, nullable=False),
    Column("prev_hash", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    UniqueConstraint("meeting", "actor", "command_id", name="entries_command"),
    sqlite_with_rowid=False,
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("login", String(100), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("role", String(20), nullable=False),
    Column("password_hash", String(300), nullable=False),
    Column("created_at", Float, nullable=False),
)

join_codes = Table(
    "join_codes",
    metadata,
    Column("code", String(6), primary_key=True),
    Column("meeting", String(40), ForeignKey("meetings.id"), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("subject", String(60), nullable=False),
    UniqueConstraint("meeting", "kind", "subject", name="join_codes_subject"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("size", Integer, nullable=False),
)

file_pieces = Table(
    "file_pieces",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
