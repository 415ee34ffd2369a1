//! Owns what works today and will hurt: signatures that expire soon, a spool that is too small for a restore. The interesting functions
//! are [`expires_soon`] and [`lacks_room`].

use contract::code;
use contract::id::DatasetId;
use jiff::Timestamp;

use super::{Failure, Finding, warning, well};
use crate::config::Config;
use crate::control::policy::Followed;
use crate::words::bytes;
use crate::world::folder::Folder;

/// The last part of a lifetime in which an operator hears of its end: of a month three days, of a year five weeks.
const LAST_PART: i64 = 10;

/// Bundle and trust root, each with what is left of its own lifetime.
pub(super) fn expires_soon(followed: &Followed, now: Timestamp) -> Vec<Finding> {
    let root = &followed.root;
    let signed = [
        (
            "bundle",
            followed.issued_at,
            followed.expires_at,
            "build, sign and publish the bundle again; let CI do it well before its end",
        ),
        (
            "trust root",
            root.issued_at,
            root.expires_at,
            "`seawall trust` makes the next root; its owners have to sign it",
        ),
    ];
    signed
        .into_iter()
        .map(|(what, from, until, help)| {
            let lifetime = until.duration_since(from).as_secs();
            let left = until.duration_since(now).as_secs();
            let told = format!("valid until {until}");
            if left > lifetime / LAST_PART {
                return well(what, told);
            }
            let told = format!("{told}: nothing new is accepted under it after that");
            warning(what, Failure::new(code::SOURCE_STALE, told, help))
        })
        .collect()
}

/// A restore is read into the spool before it is put in place, and a database is dumped there.
pub(super) fn lacks_room(config: &Config, largest: Option<(u64, DatasetId)>) -> Option<Finding> {
    let (size, dataset) = largest?;
    let room = Folder::open(&config.state).and_then(|state| state.room());
    let told = match room {
        Ok(room) if room >= size => {
            let told = format!("{} free for dumps and restores", bytes(room));
            return Some(well("spool", told));
        }
        Ok(room) => format!(
            "{} free, and a restore of `{dataset}` may need {}",
            bytes(room),
            bytes(size)
        ),
        Err(error) => format!("its room cannot be seen: {error}"),
    };
    let help = "enlarge the file system of the state folder, or bind `state` to a larger one";
    let failure = Failure::new(code::RESTORE_ROOM_LACKING, told, help);
    Some(warning("spool", failure))
}
