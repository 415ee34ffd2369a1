//! Owns how ids are described in the API's document. Holds nothing.

use contract::id::MAX_ID_LENGTH;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Describes an id of policy.
#[derive(Debug)]
pub struct Id;

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        text(
            "An id of policy: lower-case letters, digits, `_`, `-` and `.`.",
            "^[a-z0-9][a-z0-9_-]*(\\.[a-z0-9_-]+)*$",
            MAX_ID_LENGTH,
        )
    }
}

impl ToSchema for Id {}

/// Describes the id of a recovery point.
#[derive(Debug)]
pub struct PointId;

impl PartialSchema for PointId {
    fn schema() -> RefOr<Schema> {
        text(
            "The id of a recovery point: its plan and its instant.",
            "^[a-z0-9][a-z0-9_-]*(\\.[a-z0-9_-]+)*\\.(op-)?[0-9]{8}T[0-9]{6}Z$",
            MAX_ID_LENGTH + ".op-20261025T003000Z".len(),
        )
    }
}

impl ToSchema for PointId {}

fn text(description: &str, pattern: &str, max_length: usize) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .max_length(Some(max_length))
        .into()
}
