-- Tables of the SQLite ledger. Times in ms; a run of 0 means "none".
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queues (
  tenant TEXT NOT NULL, queue TEXT NOT NULL, paused INTEGER NOT NULL, PRIMARY KEY (tenant, queue)
);
CREATE TABLE IF NOT EXISTS leases (
  name TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL, wanted_by TEXT
);
CREATE TABLE IF NOT EXISTS rehydrations (id TEXT PRIMARY KEY, at INTEGER NOT NULL, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (
  tenant TEXT NOT NULL, queue TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (tenant, queue)
);
CREATE TABLE IF NOT EXISTS actions (id TEXT PRIMARY KEY, at INTEGER NOT NULL, document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS actions_by_time ON actions (at, id);
CREATE TABLE IF NOT EXISTS quarantine (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, at INTEGER NOT NULL, document BLOB NOT NULL,
  body BLOB NOT NULL, resolution TEXT, resolved_by TEXT, resolved_at INTEGER
);
CREATE INDEX IF NOT EXISTS quarantine_by_time ON quarantine (resolution, at, id);
CREATE TABLE IF NOT EXISTS records (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, queue TEXT NOT NULL, request_digest TEXT NOT NULL,
  envelope BLOB,
  type TEXT NOT NULL DEFAULT '', channel TEXT, user TEXT, chat_id TEXT,
  accepted_at INTEGER NOT NULL DEFAULT 0,
  finished_run INTEGER NOT NULL DEFAULT 0, finished_state TEXT NOT NULL DEFAULT '',
  finished_at INTEGER NOT NULL DEFAULT 0, finished_by TEXT NOT NULL DEFAULT '',
  finished_attempt INTEGER NOT NULL DEFAULT 0, result BLOB, error TEXT,
  redriven INTEGER NOT NULL DEFAULT 0,
  open_run INTEGER NOT NULL DEFAULT 0, open_attempt INTEGER NOT NULL DEFAULT 0,
  open_phase TEXT NOT NULL DEFAULT '', open_due INTEGER NOT NULL DEFAULT 0,
  open_lost INTEGER NOT NULL DEFAULT 0, open_by TEXT NOT NULL DEFAULT '',
  attempts TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_outcome
  ON records (tenant, queue, finished_state, redriven, finished_at);
-- Over all queues of a tenant; of parked records alone, so that no success pays for it.
CREATE INDEX IF NOT EXISTS records_by_parked
  ON records (tenant, finished_state, redriven, finished_at)
  WHERE finished_state IN ('dead', 'suspended');
