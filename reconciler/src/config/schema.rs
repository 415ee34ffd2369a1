//! Owns the JSON Schema of `seawalld.yaml`, for editors and for the reference. The interesting function is [`document`].

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::Config;

/// The schema.
pub fn document() -> Value {
    schemars::schema_for!(Config).to_value()
}

/// A text of a certain form.
macro_rules! texts {
    ($($name:ident $pattern:literal $description:literal;)*) => {
        $(
            #[doc = $description]
            #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({
                        "type": "string",
                        "pattern": $pattern,
                        "description": $description,
                    })
                }
            }
        )*
    };
}

texts! {
    Id "^[a-z0-9][a-z0-9_.-]{0,127}$" "An id, as policy writes it.";
    Duration "^P(\\d+W|(\\d+D)?(T(\\d+H)?(\\d+M)?(\\d+S)?)?)$" "An ISO 8601 duration, such as `PT15M` or `P1D`.";
    Sha256 "^[0-9a-f]{64}$" "A SHA-256 digest in hexadecimal.";
}
