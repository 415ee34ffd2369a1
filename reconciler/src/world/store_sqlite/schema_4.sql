-- What is asked in every round is answered by an index, whatever the length of the history. The columns are read out of the bodies.
ALTER TABLE executions ADD COLUMN plan_id TEXT GENERATED ALWAYS AS (json_extract(body, '$.plan_id')) VIRTUAL;
ALTER TABLE executions ADD COLUMN kind TEXT GENERATED ALWAYS AS (json_extract(body, '$.kind')) VIRTUAL;
ALTER TABLE executions ADD COLUMN slot TEXT GENERATED ALWAYS AS (json_extract(body, '$.slot')) VIRTUAL;
ALTER TABLE executions ADD COLUMN started_at TEXT GENERATED ALWAYS AS (json_extract(body, '$.started_at')) VIRTUAL;
ALTER TABLE executions ADD COLUMN outcome TEXT GENERATED ALWAYS AS (json_extract(body, '$.outcome')) VIRTUAL;
ALTER TABLE executions ADD COLUMN error TEXT GENERATED ALWAYS AS (json_extract(body, '$.error')) VIRTUAL;
CREATE INDEX executions_open ON executions (sequence) WHERE outcome IS NULL OR outcome = 'unknown';
CREATE INDEX executions_of_slots ON executions (plan_id, slot) WHERE kind = 'backup' AND slot IS NOT NULL;
CREATE INDEX executions_with_error ON executions (plan_id, error, sequence) WHERE error IS NOT NULL;
CREATE INDEX executions_restoring ON executions (sequence) WHERE kind = 'restore';
CREATE INDEX executions_by_start ON executions (started_at);
ALTER TABLE runs ADD COLUMN plan_id TEXT GENERATED ALWAYS AS (json_extract(body, '$.plan_id')) VIRTUAL;
CREATE INDEX runs_of_plans ON runs (plan_id, started_at, backup_id);
CREATE INDEX points_of_plans ON runs (plan_id, started_at, backup_id) WHERE is_point = 1;
CREATE INDEX slots_by_end ON slots (plan_id, last, ended_at);
-- States of the receipt log to go on from, signed. `bytes` is the length of `receipts.jsonl` up to there.
CREATE TABLE frontier (
    size INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    sealed TEXT NOT NULL
) STRICT;
-- How far the copy of the receipt log at each location is, and what its file looked like when it was left.
CREATE TABLE receipt_copy (
    location_id TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    seen TEXT NOT NULL
) STRICT;
