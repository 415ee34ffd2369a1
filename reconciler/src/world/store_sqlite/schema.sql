CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
CREATE TABLE bundles (
    serial INTEGER PRIMARY KEY,
    payload TEXT NOT NULL,
    root_version INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    bundle BLOB NOT NULL,
    provenance BLOB NOT NULL,
    roots TEXT NOT NULL,
    plans TEXT NOT NULL
) STRICT;
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL,
    code TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE TABLE plans (
    plan_id TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT;
CREATE TABLE slots (
    plan_id TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (plan_id, first),
    CHECK (first <= last)
) STRICT;
CREATE TABLE runs (
    backup_id TEXT PRIMARY KEY,
    started_at INTEGER NOT NULL,
    is_point INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE executions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    operation_id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE connector_states (
    plan_id TEXT NOT NULL,
    dataset_id TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (plan_id, dataset_id)
) STRICT;
CREATE TABLE receipts (
    position INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    line TEXT NOT NULL
) STRICT;
CREATE TABLE conditions (
    subject TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
