//! The database's tables, and the migrations of older databases. Each migration runs once, in a
//! transaction; the file has the number of those done (`PRAGMA user_version`).

use rusqlite::Connection;

use super::HistoryError;

/// Add migrations, never change one.
pub(super) const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE uploads (
        id INTEGER PRIMARY KEY,
        name TEXT,
        bytes INTEGER NOT NULL,
        sha256 TEXT,
        client TEXT NOT NULL,
        began TEXT NOT NULL,
        ended TEXT NOT NULL,
        status INTEGER,
        outcome TEXT NOT NULL,
        error TEXT,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE timelines (
        upload INTEGER NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
        connection TEXT NOT NULL,
        timeline TEXT NOT NULL,
        PRIMARY KEY (upload, connection)
    ) STRICT;
"];

/// Runs the migrations that the database has not had yet.
pub(super) fn migrate(database: &mut Connection, steps: &[&str]) -> Result<(), HistoryError> {
    let done: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = usize::try_from(done)
        .ok()
        .and_then(|done| steps.get(done..))
        .ok_or(HistoryError::Newer)?;
    for (step, number) in missing.iter().zip(done + 1..) {
        let transaction = database.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [&str; 3] = [
        "CREATE TABLE a (x); INSERT INTO a VALUES (1);",
        "ALTER TABLE a ADD COLUMN y DEFAULT 2;",
        "INSERT INTO a VALUES (3, 4); INSERT INTO missing VALUES (5);",
    ];

    fn rows(database: &Connection) -> i64 {
        database
            .query_row("SELECT count(*) FROM a", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn each_step_is_done_once() {
        let mut database = Connection::open_in_memory().unwrap();
        migrate(&mut database, &STEPS[..1]).unwrap();
        migrate(&mut database, &STEPS[..1]).unwrap();
        assert_eq!(rows(&database), 1);
        migrate(&mut database, &STEPS[..2]).unwrap();
        let y: i64 = database
            .query_row("SELECT y FROM a", [], |row| row.get(0))
            .unwrap();
        assert_eq!(y, 2);
    }

    #[test]
    fn a_failed_step_leaves_no_trace() {
        let mut database = Connection::open_in_memory().unwrap();
        assert!(migrate(&mut database, &STEPS).is_err());
        assert_eq!(rows(&database), 1);
        migrate(&mut database, &STEPS[..2]).unwrap();
    }

    #[test]
    fn a_newer_database_is_not_touched() {
        let mut database = Connection::open_in_memory().unwrap();
        migrate(&mut database, &STEPS[..2]).unwrap();
        let older = migrate(&mut database, &STEPS[..1]);
        assert!(matches!(older, Err(HistoryError::Newer)));
    }
}
