import GRDB

/// The tables of the task store. Times are microseconds since 1970; `task` in the other tables is `task.sequence`.
///
///     task     one row per task; params, limits, result, error, progress and usage are JSON texts
///     attempt  one row per worker process, with what tells that process from a later one of the same number
///     event    state changes and the like, numbered within the task
///     log      lines, numbered within the task
///     metric   points in the order they came
///
/// A released migration is never edited; a change is a new one at the end.
enum SQLiteSchema {
  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1-tasks") { db in
      try db.execute(
        sql: """
          CREATE TABLE task (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL, script TEXT NOT NULL, input TEXT NOT NULL, output TEXT NOT NULL,
            params TEXT NOT NULL, limits TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
            created_at INTEGER NOT NULL, started_at INTEGER, completed_at INTEGER, cancel_requested_at INTEGER,
            attempt INTEGER NOT NULL, event_count INTEGER NOT NULL,
            result TEXT, error TEXT, progress TEXT, usage TEXT, endpoint TEXT
          ) STRICT;
          CREATE INDEX task_status ON task (status, sequence);
          CREATE TABLE attempt (
            task INTEGER NOT NULL REFERENCES task (sequence) ON DELETE CASCADE, number INTEGER NOT NULL,
            started_at INTEGER NOT NULL, ended_at INTEGER,
            pid INTEGER, start_ticks INTEGER, boot_id TEXT, token TEXT, outcome TEXT,
            PRIMARY KEY (task, number)
          ) STRICT, WITHOUT ROWID;
          CREATE TABLE event (
            task INTEGER NOT NULL REFERENCES task (sequence) ON DELETE CASCADE, number INTEGER NOT NULL,
            at INTEGER NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
            PRIMARY KEY (task, number)
          ) STRICT, WITHOUT ROWID;
          CREATE TABLE log (
            task INTEGER NOT NULL REFERENCES task (sequence) ON DELETE CASCADE, number INTEGER NOT NULL,
            at INTEGER NOT NULL, attempt INTEGER NOT NULL, stream TEXT NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL,
            PRIMARY KEY (task, number)
          ) STRICT, WITHOUT ROWID;
          CREATE TABLE metric (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            task INTEGER NOT NULL REFERENCES task (sequence) ON DELETE CASCADE,
            name TEXT NOT NULL, step INTEGER, value REAL, at INTEGER NOT NULL
          ) STRICT;
          CREATE INDEX metric_task ON metric (task, id);
          """)
    }
    return migrator
  }
}
