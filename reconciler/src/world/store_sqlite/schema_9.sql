-- What ended, counted by the hour in which it was recorded: alerts watch shares over a window.
CREATE TABLE tallies_by_hour (
    hour INTEGER NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, what, subject, outcome)
) STRICT, WITHOUT ROWID;
INSERT INTO tallies_by_hour
    SELECT ended_at - ended_at % 3600, 'slot', plan_id, body ->> 'outcome', sum(coalesce(body ->> 'count', 1))
    FROM slots GROUP BY 1, 3, 4;
-- Alerts that are active, or of which a channel has to hear that they are over.
CREATE TABLE alerts (
    alert_id TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
-- How many receipts of the log each channel was sent, of those that tell what ended.
CREATE TABLE completions (
    channel_id TEXT PRIMARY KEY,
    receipts INTEGER NOT NULL
) STRICT;
