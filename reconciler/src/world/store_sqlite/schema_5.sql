-- Plans of which a person wants no scheduled backups for a time.
CREATE TABLE suspensions (
    plan_id TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
