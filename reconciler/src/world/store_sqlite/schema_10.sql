-- Recovery points that were removed, or are about to be: they count against the delete budget of the policy.
CREATE TABLE deletions (
    backup_id TEXT PRIMARY KEY,
    operation_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    plan_id TEXT,
    kid TEXT,
    -- What an older copy of a location may bring back.
    snapshot_id TEXT
) STRICT;
CREATE INDEX deletions_repository ON deletions (plan_id, kid, at) WHERE removed = 1;
CREATE INDEX deletions_at ON deletions (at);
CREATE INDEX deletions_operation ON deletions (operation_id) WHERE removed = 0;
-- The newest prune of each repository.
CREATE TABLE prunes (
    plan_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    at INTEGER NOT NULL,
    marked INTEGER NOT NULL,
    is_good INTEGER NOT NULL,
    PRIMARY KEY (plan_id, kid)
) STRICT;
