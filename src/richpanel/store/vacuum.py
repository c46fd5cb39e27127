"""Vacuum: what was deleted from PostgreSQL's tables leaves them and their indexes at once, not some time."""

from sqlalchemy import Engine, text

from richpanel.store.bulk import fetch


def cut_wal(engine: Engine) -> bool:
    """Let SQLite's write-ahead log go, with all that it had; False where somebody who reads is in the way."""
    driver = engine.raw_connection()
    try:
        busy = driver.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        driver.close()
    return not busy


def vacuum(state: Engine) -> str:
    """Clean up every table of the state, and its indexes; give the position of the write-ahead log behind that.

    Others read and write meanwhile. Without INDEX_CLEANUP few dead rows would stay in the indexes, with TRUNCATE others
    would have to wait.
    """
    with state.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        tables = fetch(
            connection,
            "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "AND relkind = 'r' ORDER BY relname",
        )
        for (table,) in tables:
            connection.execute(text(f"VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) {table}"))
        return str(fetch(connection, "SELECT pg_current_wal_lsn()")[0][0])
