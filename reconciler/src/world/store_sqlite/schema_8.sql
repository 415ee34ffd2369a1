-- What ended, counted for good: counters of a monitor must not begin at zero with each start, or it misses what happens right after one.
CREATE TABLE tallies (
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (what, subject, outcome)
) STRICT, WITHOUT ROWID;
INSERT INTO tallies
    SELECT 'slot', plan_id, body ->> 'outcome', sum(coalesce(body ->> 'count', 1)) FROM slots GROUP BY 2, 3;
INSERT INTO tallies
    SELECT 'backup', body ->> 'plan_id', body ->> 'status', count(*) FROM runs GROUP BY 2, 3;
