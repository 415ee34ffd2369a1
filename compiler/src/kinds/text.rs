//! Owns the shapes of single values in source documents: durations, sizes, ids, references. Each is a marker type that
//! knows only its JSON Schema; no value of it ever exists. What a `format` accepts is decided in `schema::format`.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// What ids look like, for editors; `contract::id::check` has the last word.
const ID_PATTERN: &str = "^[a-z0-9][a-z0-9_.-]{0,127}$";

/// Marks a field that the document or Defaults must give.
pub const OR_DEFAULT: &str = "x-or-default";
/// Marks a field that may be absent for good; removed from the finished schema.
pub const OPTIONAL: &str = "x-optional";
/// Names the collection (and field) that a text refers to.
pub const REFERS_TO: &str = "x-refers-to";

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

texts! {
    /// Text that people read; never empty.
    Text = { "type": "string", "minLength": 1 };
    /// The document's own id, and other names that follow the grammar of ids.
    Id = { "type": "string", "format": "id", "pattern": ID_PATTERN };
    /// A length of time above zero, `PT15M`.
    Duration = { "type": "string", "format": "duration" };
    /// A length of time that may be zero, `PT0S`.
    DurationOrZero = { "type": "string", "format": "duration-or-zero" };
    /// A length of time, or `none` where there is no limit.
    DurationOrNone = { "type": "string", "format": "duration-or-none" };
    /// A number of bytes, `40GiB`.
    Size = { "type": "string", "format": "size" };
    /// A number of bytes in a second, `200MiB/s`.
    Rate = { "type": "string", "format": "rate" };
    /// An instant in UTC, whole seconds, `2026-11-01T00:00:00Z`.
    Instant = { "type": "string", "format": "instant" };
    /// Five cron fields.
    CronExpression = { "type": "string", "format": "cron" };
    /// An IANA time zone.
    TimeZone = { "type": "string", "format": "time-zone" };
    /// A fault domain, `kind:id`.
    Domain = { "type": "string", "format": "fault-domain" };
    /// A whole number from zero.
    Count = { "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 };
    /// A whole number from one.
    Positive = { "type": "integer", "minimum": 1, "maximum": 4_294_967_295_u32 };
    /// A whole percent, 1 to 100.
    Percent = { "type": "integer", "minimum": 1, "maximum": 100 };
    /// A Zstandard level; 0 stores without compression.
    CompressionLevel = { "type": "integer", "minimum": 0, "maximum": 22 };
    /// The code of a rule, `SW0301` or one of your own.
    FindingCode = { "type": "string", "format": "finding-code" };
    /// An exact path of the model, `datasets/ds_orders`.
    WaiverTarget = { "type": "string", "format": "waiver-target" };
    /// Yes or no.
    Flag = { "type": "boolean" };
    /// Any value; checked against the field that it is put into.
    Anything = {};

    /// A key, `kid:<kid>`.
    KeyReference = { "type": "string", "format": "key-reference", "x-refers-to": "keys" };
    /// What an override changes: `gsmd:<collection>/<id or *>[/<field>…]`.
    OverridePath = { "type": "string", "format": "override-path" };

    /// The id of a site.
    SiteId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "sites" };
    /// The id of a location.
    LocationId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "locations" };
    /// The id of a connector.
    ConnectorId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "connectors" };
    /// The id of a tier.
    TierId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "tiers" };
    /// The id of a role.
    RoleId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "roles" };
    /// The id of an environment.
    EnvironmentId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "environments" };
    /// The id of a storage profile.
    StorageId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "storage" };
    /// The id of a redundancy profile.
    RedundancyId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "redundancy" };
    /// The id of a notification channel.
    ChannelId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "channels" };
    /// The id of a dataset.
    DatasetId = { "type": "string", "format": "id", "pattern": ID_PATTERN, "x-refers-to": "datasets" };
    /// A recovery point objective, as a literal.
    Rpo = { "type": "string", "format": "duration" };
    /// A recovery time objective, as a literal.
    Rto = { "type": "string", "format": "duration" };
}

/// What a `gsmd:` reference in a field may lead to: a collection, and the field inside it where the whole document is
/// not what is meant.
pub trait Target: JsonSchema {
    /// `<collection>` or `<collection>/<field>`.
    const TARGET: &'static str;
}

impl Target for Rpo {
    const TARGET: &'static str = "objectives/rpo";
}
impl Target for Rto {
    const TARGET: &'static str = "objectives/rto";
}

/// A field that holds policy: a `gsmd:` reference to a `T`, or a literal `T`, which a rule rejects.
#[derive(Debug)]
pub struct Policy<T>(PhantomData<T>);

impl<T: Target> JsonSchema for Policy<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Policy_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let literal = generator.subschema_for::<T>().to_value();
        json_schema!({
            "if": { "type": "string", "pattern": "^gsmd:" },
            "then": { "type": "string", "format": "reference" },
            "else": literal,
            "x-refers-to": T::TARGET
        })
    }
}

/// A field that the document or Defaults must give.
#[derive(Debug)]
pub struct OrDefault<T>(PhantomData<T>);

/// A field that may be absent for good.
#[derive(Debug)]
pub struct Optional<T>(PhantomData<T>);

macro_rules! marked {
    ($name:ident, $mark:expr) => {
        impl<T: JsonSchema> JsonSchema for $name<T> {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                format!(concat!(stringify!($name), "_{}"), T::schema_name()).into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut schema = generator.subschema_for::<T>();
                schema.insert($mark.to_owned(), Value::Bool(true));
                schema
            }
        }
    };
}
marked!(OrDefault, OR_DEFAULT);
marked!(Optional, OPTIONAL);

/// A list in which order means nothing and nothing stands twice.
#[derive(Debug)]
pub struct SetOf<T>(PhantomData<T>);

/// The same with at least one entry.
#[derive(Debug)]
pub struct SomeOf<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for SetOf<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("SetOf_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>().to_value();
        json_schema!({ "type": "array", "items": items, "uniqueItems": true })
    }
}

impl<T: JsonSchema> JsonSchema for SomeOf<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("SomeOf_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = SetOf::<T>::json_schema(generator);
        schema.insert("minItems".to_owned(), json!(1));
        schema
    }
}
