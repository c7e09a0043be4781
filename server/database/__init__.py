"""One database, SQLite by default: every meeting's log, accounts, codes. The only home of SQLAlchemy and Alembic."""
