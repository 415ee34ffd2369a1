//! Owns the versions of the store's schema. Each is a file beside this one; [`MIGRATIONS`] has their order.

/// Every migration in order. A migration that was released is never edited: an existing state is upgraded by the ones after.
pub(super) const MIGRATIONS: [(i64, &str, &str); 10] = [
    (1, "first", include_str!("schema.sql")),
    (2, "memory of checks", include_str!("schema_2.sql")),
    (3, "slots of a wrong clock", include_str!("schema_3.sql")),
    (4, "bounded questions", include_str!("schema_4.sql")),
    (5, "suspensions", include_str!("schema_5.sql")),
    (6, "pages of points", include_str!("schema_6.sql")),
    (7, "old records", include_str!("schema_7.sql")),
    (8, "tallies", include_str!("schema_8.sql")),
    (9, "alerts", include_str!("schema_9.sql")),
    (10, "deletions", include_str!("schema_10.sql")),
];

/// The newest migration.
pub(super) const SCHEMA_VERSION: u64 = MIGRATIONS.len() as u64;
