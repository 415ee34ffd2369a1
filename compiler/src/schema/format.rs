//! Owns what the `format`s of the schemas accept, and the words for what they refuse. The function is [`check`].

use std::sync::LazyLock;

use contract::calendar::{Cron, Zones};
use contract::code::{self, Code};
use contract::duration::{self, Seconds};
use contract::model::FaultDomain;
use contract::{canonical, id};

/// Every format, for registration with the validator.
pub const ALL: &[&str] = &[
    "id",
    "duration",
    "duration-or-zero",
    "duration-or-none",
    "size",
    "rate",
    "instant",
    "cron",
    "time-zone",
    "fault-domain",
    "reference",
    "key-reference",
    "override-path",
    "finding-code",
    "waiver-target",
];

/// Why a text does not have a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code it is told under.
    pub code: Code,
    /// One lowercase line.
    pub message: String,
    /// Advice.
    pub help: String,
}

/// Holds a text against a format; formats that are not ours accept everything.
pub fn check(format: &str, text: &str) -> Result<(), Refusal> {
    match format {
        "id" => check_id(text),
        "duration" => duration(text, false, false),
        "duration-or-zero" => duration(text, true, false),
        "duration-or-none" => duration(text, false, true),
        "size" => bytes(text).map(drop),
        "rate" => rate(text).map(drop),
        "instant" => instant(text),
        "cron" => cron(text),
        "time-zone" => time_zone(text),
        "fault-domain" => fault_domain(text),
        "reference" => reference(text),
        "key-reference" => key_reference(text),
        "override-path" => override_path(text),
        "finding-code" => finding_code(text),
        "waiver-target" => waiver_target(text),
        _ => Ok(()),
    }
}

fn refuse<T>(code: Code, message: String, help: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        message,
        help: help.into(),
    })
}

fn check_id(text: &str) -> Result<(), Refusal> {
    if let Some((prefix @ ("gsmd" | "kid"), rest)) = text.split_once(':') {
        let bare = rest.rsplit('/').next().unwrap_or(rest);
        return refuse(
            code::MALFORMED_REFERENCE,
            format!("`{text}` is a `{prefix}:` reference where a bare id belongs"),
            format!("write `{bare}`"),
        );
    }
    id::check(text).map_err(|invalid| Refusal {
        code: code::INVALID_ID,
        message: invalid.to_string(),
        help: "write lower-case letters, digits, `_`, `-` and `.`, a letter or digit first"
            .to_owned(),
    })
}

fn duration(text: &str, zero: bool, none: bool) -> Result<(), Refusal> {
    if text == "none" {
        return if none {
            Ok(())
        } else {
            refuse(
                code::INVALID_DURATION,
                "`none` is not allowed here: this length must be bounded".to_owned(),
                "write a duration such as `PT15M`",
            )
        };
    }
    match duration::parse(text) {
        Ok(length) if length.is_zero() && !zero => refuse(
            code::INVALID_DURATION,
            format!("`{text}` is no time at all, this length must be longer"),
            if none {
                "write a longer duration, or `none` for no limit"
            } else {
                "write a longer duration"
            },
        ),
        Ok(_) => Ok(()),
        Err(error) => {
            let help = match colloquial(text) {
                Some(length) => format!("did you mean `{length}`?"),
                None => error.help,
            };
            refuse(code::INVALID_DURATION, error.message, help)
        }
    }
}

/// Lengths as people write them elsewhere: `15m`, `4 hours`, `30d`.
fn colloquial(text: &str) -> Option<Seconds> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(split)?;
    let count: u64 = digits.parse().ok()?;
    match unit.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" => Some(Seconds::new(count)),
        "m" | "min" | "minute" | "minutes" => Some(Seconds::minutes(count)),
        "h" | "hour" | "hours" => Some(Seconds::hours(count)),
        "d" | "day" | "days" => Some(Seconds::days(count)),
        "w" | "week" | "weeks" => Some(Seconds::days(count.checked_mul(7)?)),
        _ => None,
    }
}

const UNITS: [(&str, u64); 6] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// The bytes of a size such as `40GiB`: a whole number and a unit.
pub fn bytes(text: &str) -> Result<u64, Refusal> {
    let help = "write a whole number and B, KiB, MiB, GiB, TiB or PiB, for example `40GiB`";
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).unwrap_or((text, ""));
    let factor = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor);
    let (Ok(count), Some(factor)) = (digits.parse::<u64>(), factor) else {
        let near = UNITS.iter().find(|(name, _)| {
            let short = name.trim_end_matches("iB");
            let unit = unit.trim();
            unit.eq_ignore_ascii_case(name)
                || unit.eq_ignore_ascii_case(short)
                || unit.eq_ignore_ascii_case(&format!("{short}B"))
        });
        return match near {
            Some((name, _)) if !digits.is_empty() => refuse(
                code::WRONG_TYPE,
                format!("`{text}` is no size"),
                format!("did you mean `{digits}{name}`? Units are powers of 1024"),
            ),
            Some(_) | None => refuse(code::WRONG_TYPE, format!("`{text}` is no size"), help),
        };
    };
    match count.checked_mul(factor) {
        Some(bytes) if bytes < canonical::INTEGER_LIMIT => Ok(bytes),
        Some(_) | None => refuse(
            code::WRONG_TYPE,
            format!("`{text}` is 2^53 bytes or more"),
            "write a smaller size",
        ),
    }
}

/// The bytes in a second of a rate such as `200MiB/s`.
pub fn rate(text: &str) -> Result<u64, Refusal> {
    let Some(size) = text.strip_suffix("/s") else {
        return refuse(
            code::WRONG_TYPE,
            format!("`{text}` is no rate"),
            "write a size and `/s`, for example `200MiB/s`",
        );
    };
    match bytes(size) {
        Ok(0) => refuse(
            code::WRONG_TYPE,
            format!("`{text}` moves nothing at all"),
            "write a rate above zero",
        ),
        Ok(bytes) => Ok(bytes),
        // The advice for the size holds for the rate, which has the same units and `/s`.
        Err(refusal) => refuse(
            code::WRONG_TYPE,
            format!("`{text}` is no rate"),
            refusal.help.replace("iB`", "iB/s`"),
        ),
    }
}

fn instant(text: &str) -> Result<(), Refusal> {
    let help = "write UTC with whole seconds, for example `2026-11-01T00:00:00Z`";
    let whole =
        text.len() == "2026-11-01T00:00:00Z".len() && text.ends_with('Z') && text.contains('T');
    if whole && text.parse::<jiff::Timestamp>().is_ok() {
        Ok(())
    } else {
        refuse(code::WRONG_TYPE, format!("`{text}` is no instant"), help)
    }
}

fn cron(text: &str) -> Result<(), Refusal> {
    match Cron::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => refuse(code::INVALID_SCHEDULE, error.message, error.help),
    }
}

/// The bundled zones, opened once; the value never changes while the program runs.
static ZONES: LazyLock<Zones> = LazyLock::new(Zones::bundled);

fn time_zone(text: &str) -> Result<(), Refusal> {
    match ZONES.get(text) {
        Ok(_) => Ok(()),
        Err(unknown) => refuse(code::INVALID_SCHEDULE, unknown.to_string(), unknown.help()),
    }
}

fn fault_domain(text: &str) -> Result<(), Refusal> {
    match text.parse::<FaultDomain>() {
        Ok(_) => Ok(()),
        Err(invalid) => refuse(
            code::WRONG_TYPE,
            invalid.to_string(),
            "write `kind:id` with provider, region, zone, account, credential, key, engine or host, for example `region:eu-west-1`",
        ),
    }
}

/// The parts of `gsmd:<collection>/<id>[/<field>…]`.
pub struct Reference<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The id.
    pub id: &'a str,
    /// The fields inside the document, outermost first.
    pub fields: Vec<&'a str>,
}

/// Takes a `gsmd:` reference apart, without asking whether anything in it exists.
pub fn split_reference(text: &str) -> Option<Reference<'_>> {
    let mut parts = text.strip_prefix("gsmd:")?.split('/');
    let collection = parts.next().filter(|part| !part.is_empty())?;
    let id = parts.next().filter(|part| !part.is_empty())?;
    let fields: Vec<&str> = parts.collect();
    (!fields.iter().any(|field| field.is_empty())).then_some(Reference {
        collection,
        id,
        fields,
    })
}

fn reference(text: &str) -> Result<(), Refusal> {
    match split_reference(text) {
        Some(reference) if id::check(reference.id).is_ok() => Ok(()),
        Some(_) | None => refuse(
            code::MALFORMED_REFERENCE,
            format!("`{text}` is no reference"),
            "write `gsmd:<collection>/<id>`, and `/<field>` where one field is meant, for example `gsmd:objectives/tier0_core/rpo`",
        ),
    }
}

fn key_reference(text: &str) -> Result<(), Refusal> {
    match text.strip_prefix("kid:") {
        Some(kid) if id::check(kid).is_ok() => Ok(()),
        Some(_) => refuse(
            code::MALFORMED_REFERENCE,
            format!("`{text}` is no key reference"),
            "write `kid:` and the kid of a Key document, for example `kid:backup-core-01`",
        ),
        None => refuse(
            code::MALFORMED_REFERENCE,
            format!("`{text}` is no key reference: it does not begin with `kid:`"),
            format!("write `kid:{}`", text.rsplit('/').next().unwrap_or(text)),
        ),
    }
}

fn override_path(text: &str) -> Result<(), Refusal> {
    match split_reference(text) {
        Some(reference) if reference.id == "*" || id::check(reference.id).is_ok() => Ok(()),
        Some(_) | None => refuse(
            code::MALFORMED_REFERENCE,
            format!("`{text}` does not say what is overridden"),
            "write `gsmd:<collection>/<id>` or `gsmd:<collection>/<id>/<field>`, with `*` for every id",
        ),
    }
}

fn finding_code(text: &str) -> Result<(), Refusal> {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let digits = text.get(letters..).unwrap_or_default();
    let formed = (2..=8).contains(&letters)
        && (3..=6).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if formed {
        return Ok(());
    }
    let named = code::ALL.iter().find(|code| code.name() == text);
    refuse(
        code::MALFORMED_REFERENCE,
        format!("`{text}` is no code of a finding"),
        named.map_or_else(
            || "write the code as `seawall check` shows it, for example `SW0301`".to_owned(),
            |code| format!("write `{code}`"),
        ),
    )
}

fn waiver_target(text: &str) -> Result<(), Refusal> {
    if text.contains('*') {
        return refuse(
            code::MALFORMED_REFERENCE,
            format!("`{text}` is a pattern, and a waiver names exact targets"),
            "name each target on its own: what a pattern would take tomorrow, nobody has accepted",
        );
    }
    let step = |step: &str| {
        !step.is_empty()
            && step
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.:,-".contains(&byte))
    };
    if text.split('/').all(step) {
        return Ok(());
    }
    refuse(
        code::MALFORMED_REFERENCE,
        format!("`{text}` is no path of the model"),
        "write what `seawall check --format json` tells as `about`, or as `at` where that is empty, joined by `/`, for example `datasets/ds_orders`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help_of(format: &str, text: &str) -> String {
        check(format, text)
            .err()
            .map(|refusal| refusal.help)
            .unwrap_or_default()
    }

    #[test]
    fn near_misses_get_the_right_spelling() {
        assert_eq!(help_of("duration", "15m"), "did you mean `PT15M`?");
        assert_eq!(help_of("duration", "4 hours"), "did you mean `PT4H`?");
        assert!(help_of("duration", "P7Y").contains("P2557D"));
        assert!(help_of("size", "40GB").contains("`40GiB`"));
        assert!(help_of("size", "40G").contains("`40GiB`"));
        assert!(help_of("rate", "200MB/s").contains("`200MiB/s`"));
        assert_eq!(help_of("id", "gsmd:sites/main"), "write `main`");
        assert_eq!(
            help_of("key-reference", "backup-01"),
            "write `kid:backup-01`"
        );
    }

    #[test]
    fn sizes_are_whole_and_below_the_limit() {
        assert_eq!(bytes("4TiB"), Ok(4 << 40));
        assert_eq!(bytes("7PiB"), Ok(7 << 50));
        for bad in [
            "8PiB",
            "",
            "GiB",
            "1.5GiB",
            "-1B",
            "10 GiB",
            "99999999999999999999B",
        ] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("200MiB/s"), Ok(200 << 20));
        assert!(rate("0B/s").is_err());
    }

    #[test]
    fn every_format_refuses_something() {
        for format in ALL {
            assert!(check(format, "Not A Thing!").is_err(), "{format}");
        }
    }

    #[test]
    fn instants_are_utc_and_whole() {
        assert!(check("instant", "2026-11-01T00:00:00Z").is_ok());
        for bad in [
            "2026-11-01",
            "2026-11-01T00:00:00+01:00",
            "2026-11-01T00:00:00.5Z",
            "2026-13-01T00:00:00Z",
            "2026-11-01t00:00:00Z",
        ] {
            assert!(check("instant", bad).is_err(), "{bad}");
        }
    }
}
