-- When each part of a repository was last read at a location, and what that showed.
CREATE TABLE part_read (
    plan_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    location_id TEXT NOT NULL,
    parts INTEGER NOT NULL,
    part INTEGER NOT NULL,
    at INTEGER NOT NULL,
    is_sound INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (plan_id, kid, location_id, parts, part),
    CHECK (part >= 1 AND part <= parts)
) STRICT;
-- A reading of a part that has not come to its end: objects are read in the order of their names.
CREATE TABLE part_reading (
    plan_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    location_id TEXT NOT NULL,
    parts INTEGER NOT NULL,
    part INTEGER NOT NULL,
    since INTEGER NOT NULL,
    through TEXT NOT NULL,
    is_sound INTEGER NOT NULL,
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (plan_id, kid, location_id, parts, part)
) STRICT;
-- Objects that a location holds damaged or has lost, until a sound copy replaced them.
CREATE TABLE damaged_object (
    plan_id TEXT NOT NULL,
    kid TEXT NOT NULL,
    location_id TEXT NOT NULL,
    object TEXT NOT NULL,
    found_at INTEGER NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (plan_id, kid, location_id, object)
) STRICT;
-- What marks the place that a location is.
CREATE TABLE location_identity (
    location_id TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    first_seen INTEGER NOT NULL
) STRICT;
-- Bundles that were judged and refused, so that the same one is not judged again.
CREATE TABLE refused_bundle (
    payload TEXT NOT NULL,
    judged_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    failure TEXT NOT NULL,
    PRIMARY KEY (payload, judged_by)
) STRICT;
CREATE INDEX refused_bundle_by_age ON refused_bundle (at);
-- Conditions that a person cleared.
CREATE TABLE acknowledgement (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;
