-- A clock that is ahead may write slots off. With the clock right again these records do not count, and each slot gets its own:
-- a slot may have more than one record, of which one counts. `ended_at` is the clock that wrote it.
CREATE TABLE slots_of_a_clock (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    plan_id TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    CHECK (first <= last)
) STRICT;
INSERT INTO slots_of_a_clock (plan_id, first, last, ended_at, body)
    SELECT plan_id, first, last,
           coalesce(CAST(strftime('%s', json_extract(body, '$.ended_at')) AS INTEGER), last), body
    FROM slots ORDER BY first;
DROP TABLE slots;
ALTER TABLE slots_of_a_clock RENAME TO slots;
CREATE INDEX slots_of_plans ON slots (plan_id, first);
