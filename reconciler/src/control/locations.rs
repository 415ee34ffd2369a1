//! Owns which locations this process may use: each is inspected by a child before anything else touches it, and one that is
//! not the expected one, shares a folder with another, overlaps live data or does not answer is set aside with its reason.
//! Never writes to a location that is set aside. The interesting functions are [`confirm`] and [`judge`].

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use contract::code;
use contract::id::{DatasetId, Kid, LocationId, PlanId};
use contract::receipt::{DecisionType, Outcome, Phase};
use jiff::Timestamp;

use super::Daemon;
use crate::config::{Config, LocationBinding, Site};
use crate::domain::{Change, Draft, LocationIdentity};
use crate::failure::Failure;
use crate::world::bucket;
use crate::world::connector::Binding;
use crate::world::folder::{Folder, PRIVATE_FOLDER};
use crate::world::location::{At, InFileSystem, Inspected, NoReply, Order, Reply};
use crate::world::vault::{
    DEFAULT_PATIENCE, LocationBucket, LocationFolder, LocationState, Mark, Place,
};

/// Recovery points by which a location is recognised that was used before it had a mark. One is enough; retention may have
/// taken some of them.
const RECOGNISED_BY: u32 = 8;

/// What is known of all locations.
#[derive(Debug, Clone, Default)]
pub struct Locations {
    /// By location.
    pub standings: BTreeMap<LocationId, Standing>,
    /// What follows for each.
    pub verdicts: BTreeMap<LocationId, Verdict>,
}

/// How one location stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Where it is, and what must mark it.
    pub place: Place,
    /// Why it is not used.
    pub aside: Option<Aside>,
    /// What an inspection found.
    pub inspected: Option<Inspected>,
}

/// Why a location is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// With its code.
    pub failure: Failure,
    /// Whether a person must change something; otherwise it may come back.
    pub needs_person: bool,
}

impl Aside {
    /// As the vault sees it.
    pub fn state(&self) -> LocationState {
        let why = format!("{} {}", self.failure.code, self.failure.message);
        if self.needs_person {
            LocationState::Quarantined { why }
        } else {
            LocationState::Unknown { why }
        }
    }
}

/// What follows for one location from its inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one that was used before.
    Expected(Mark),
    /// It is used for the first time, or for the first time since locations have marks. A mark that is there is taken over.
    First {
        /// What marks it already.
        found: Option<Mark>,
        /// Whether it holds recovery points of the catalog.
        in_use: bool,
    },
    /// It is not used.
    Aside(Aside),
}

/// What the last inspection found; none before the first one. Inspects nothing.
pub fn last_seen(daemon: &Daemon) -> Option<Locations> {
    daemon
        .locations_lock()
        .as_ref()
        .map(|(locations, _)| locations.clone())
}

/// Makes sure what each location is, at the start of a round. Marks new ones.
pub fn confirm(daemon: &Daemon, now: Timestamp) -> Result<(), Failure> {
    // Not under its lock: an inspection takes as long as the slowest location, and what was known before holds until then.
    let kept = daemon.locations_lock().clone();
    let mut locations = match kept {
        Some((locations, false)) => locations,
        Some((_, true)) | None => inspect(daemon, true)?,
    };
    for (id, verdict) in locations.verdicts.clone() {
        let Verdict::First { found, in_use } = verdict else {
            continue;
        };
        let Some(standing) = locations.standings.get_mut(&id) else {
            continue;
        };
        let how = if in_use { "in use" } else { "first use" };
        match mark(daemon, &id, found, how, now)? {
            Ok(mark) => standing.place.expect(mark),
            // Nothing of it is wrong: the process is asked to end.
            Err(_) if daemon.stop.is_cancelled() => return Err(interrupted()),
            Err(failure) => {
                standing.aside = Some(Aside {
                    failure,
                    needs_person: false,
                });
            }
        }
    }
    for (id, standing) in &locations.standings {
        if let Some(aside) = &standing.aside {
            tracing::warn!(event = "location_set_aside", location = %id, code = %aside.failure.code, "{}", aside.failure.message);
        }
    }
    *daemon.locations_lock() = Some((locations, true));
    Ok(())
}

/// Marks a location and remembers the mark. The mark comes first: one that nobody remembers is taken over by the next round.
fn mark(
    daemon: &Daemon,
    id: &LocationId,
    found: Option<Mark>,
    how: &str,
    now: Timestamp,
) -> Result<Result<Mark, Failure>, Failure> {
    let mark = match put_mark(daemon, id, found)? {
        Ok(mark) => mark,
        Err(failure) => return Ok(Err(failure)),
    };
    remember(daemon, &mark, how, "", now)?;
    Ok(Ok(mark))
}

/// Marks a location that has no mark. The inner failure is the location's.
fn put_mark(
    daemon: &Daemon,
    id: &LocationId,
    found: Option<Mark>,
) -> Result<Result<Mark, Failure>, Failure> {
    if let Some(mark) = found {
        return Ok(Ok(mark));
    }
    daemon.store.holds()?;
    let mark = new_mark(daemon, id)?;
    let order = Order::Mark {
        at: at(&daemon.config, id)?,
        mark: mark.clone(),
    };
    Ok(match daemon.at_location(order) {
        Ok(Reply::Done) => Ok(mark),
        other => Err(failed(id, other)),
    })
}

fn remember(
    daemon: &Daemon,
    mark: &Mark,
    how: &str,
    actor: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = &mark.location_id;
    let operation = format!("location.{id}.{}", crate::plan::stamp(now));
    let mut draft = Draft::new(DecisionType::Adoption, Phase::Decision, &operation);
    draft.result = Some(Outcome::Success);
    actor.clone_into(&mut draft.actor);
    let details = [
        ("location", id.to_string()),
        ("identity", mark.identity.clone()),
        ("how", how.to_owned()),
    ];
    for (name, value) in details {
        draft.details.insert(name.to_owned(), value);
    }
    let change = Change::LocationIdentity(LocationIdentity {
        location_id: id.clone(),
        identity: mark.identity.clone(),
        first_seen: now,
    });
    tracing::info!(event = "location_marked", location = %id, how, "the location's mark is remembered");
    daemon.commit(&[change], vec![draft], now)
}

fn new_mark(daemon: &Daemon, id: &LocationId) -> Result<Mark, Failure> {
    let identity = daemon.effects.name().map_err(|error| {
        Failure::new(
            code::VAULT_LOCATION_FAILED,
            format!("no random identity for location `{id}` can be drawn: {error}"),
            "check the system's random source",
        )
    })?;
    Ok(Mark {
        location_id: id.clone(),
        identity,
    })
}

/// Accepts a location's folder as it is, because a person says so.
pub fn adopt(daemon: &Daemon, id: &LocationId, actor: &str, now: Timestamp) -> Result<(), Failure> {
    let refused = |why: String| {
        Failure::new(
            code::VAULT_LOCATION_NOT_ADOPTED,
            format!("location `{id}` cannot be adopted: {why}"),
            "correct what the message names, then adopt it again",
        )
    };
    bound(&daemon.config, id)?;
    let locations = inspect(daemon, true)?;
    let standing = locations.standings.get(id);
    let inspected = standing.and_then(|standing| standing.inspected.as_ref());
    let Some(inspected) = inspected else {
        let why = standing.and_then(|standing| standing.aside.as_ref());
        return Err(refused(why.map_or_else(
            || "it cannot be inspected".to_owned(),
            |aside| aside.failure.message.clone(),
        )));
    };
    if let Some(Verdict::Aside(aside)) = locations.verdicts.get(id)
        && aside.failure.code != code::VAULT_LOCATION_NOT_EXPECTED
    {
        return Err(refused(aside.failure.message.clone()));
    }
    if let Some(why) = &inspected.mark_problem {
        return Err(refused(why.clone()));
    }
    if let Some(mark) = &inspected.mark
        && mark.location_id != *id
    {
        let other = &mark.location_id;
        return Err(refused(format!(
            "its mark says that it is location `{other}`"
        )));
    }
    let mark = put_mark(daemon, id, inspected.mark.clone())??;
    remember(daemon, &mark, "adopted", actor, now)
}

/// Inspects every location, each in a child of its own and all at the same time.
pub fn inspect(daemon: &Daemon, tries_write: bool) -> Result<Locations, Failure> {
    let config = &daemon.config;
    let identities = daemon.store.location_identities()?;
    let mut held = BTreeMap::new();
    for id in config.locations.keys() {
        // What is marked is known by its mark.
        if !identities.contains_key(id) {
            held.insert(id.clone(), held_at(daemon, id)?);
        }
    }
    let orders = config
        .locations
        .keys()
        .map(|id| {
            let expected = identities.get(id).map(|known| Mark {
                location_id: id.clone(),
                identity: known.identity.clone(),
            });
            let order = Order::Inspect {
                at: at(config, id)?,
                tries_write,
                receipts: daemon.receipts_below(),
                known: held.get(id).cloned().unwrap_or_default(),
                expected,
            };
            Ok((id.clone(), order))
        })
        .collect::<Result<BTreeMap<_, _>, Failure>>()?;
    let (ids, orders): (Vec<LocationId>, Vec<Order>) = orders.into_iter().unzip();
    let replies = daemon.effects.at_locations(&orders, &daemon.stop);
    // What was known before holds: the end of what is under way is recorded by it.
    if is_cut_short(daemon, &replies) {
        return Err(interrupted());
    }
    let mut locations = Locations {
        standings: BTreeMap::new(),
        verdicts: BTreeMap::new(),
    };
    for (id, reply) in ids.into_iter().zip(replies) {
        let mark = identities.get(&id).map(|known| Mark {
            location_id: id.clone(),
            identity: known.identity.clone(),
        });
        let (inspected, aside) = match reply {
            Ok(Reply::Inspected(inspected)) => (Some(*inspected), None),
            other => {
                let failure = failed(&id, other);
                let needs_person = false;
                (
                    None,
                    Some(Aside {
                        failure,
                        needs_person,
                    }),
                )
            }
        };
        let place = place(bound(config, &id)?, mark);
        locations.standings.insert(
            id,
            Standing {
                place,
                aside,
                inspected,
            },
        );
    }
    locations.verdicts = verdicts(daemon, &locations, &identities, &held)?;
    for (id, verdict) in &locations.verdicts {
        if let (Verdict::Aside(aside), Some(standing)) = (verdict, locations.standings.get_mut(id))
        {
            standing.aside = Some(aside.clone());
        }
    }
    Ok(locations)
}

/// Whether the end of the process ended a look: a service manager asks the children to end as well.
fn is_cut_short(daemon: &Daemon, replies: &[Result<Reply, NoReply>]) -> bool {
    replies.contains(&Err(NoReply::Stopped))
        || daemon.stop.is_cancelled() && replies.iter().any(Result::is_err)
}

fn verdicts(
    daemon: &Daemon,
    locations: &Locations,
    identities: &BTreeMap<LocationId, LocationIdentity>,
    held: &BTreeMap<LocationId, Vec<(String, String)>>,
) -> Result<BTreeMap<LocationId, Verdict>, Failure> {
    let sources = sources(daemon)?;
    let inspected: BTreeMap<&LocationId, &Inspected> = locations
        .standings
        .iter()
        .filter_map(|(id, standing)| Some((id, standing.inspected.as_ref()?)))
        .collect();
    let all = inspected.keys().map(|id| {
        let in_catalog = held.get(*id).is_some_and(|held| !held.is_empty());
        let identity = identities.get(*id).map(|known| known.identity.as_str());
        let verdict = judge(id, identity, in_catalog, &inspected, &sources);
        ((*id).clone(), verdict)
    });
    Ok(all.collect())
}

/// What a location is, from what was found at all of them. Without effects.
pub fn judge(
    id: &LocationId,
    identity: Option<&str>,
    in_catalog: bool,
    inspected: &BTreeMap<&LocationId, &Inspected>,
    sources: &[(DatasetId, InFileSystem)],
) -> Verdict {
    let Some(here) = inspected.get(id) else {
        return unexpected(id, "it was not inspected", false);
    };
    if let Some((dataset, _)) = sources.iter().find(|(_, source)| {
        let overlap = |here: &InFileSystem| here.contains(source) || source.contains(here);
        here.in_file_system.as_ref().is_some_and(overlap)
    }) {
        return aside(
            code::VAULT_LOCATION_IN_SOURCE,
            format!(
                "location `{id}` and the live data of dataset `{dataset}` are inside one another"
            ),
            "bind the location or the dataset to another folder",
            true,
        );
    }
    if let Some(why) = &here.mark_problem {
        return unexpected(id, why, true);
    }
    let is_expected = here
        .mark
        .as_ref()
        .is_some_and(|mark| mark.location_id == *id && identity == Some(mark.identity.as_str()));
    // Who was here before and shows the own mark stays; the others come too late.
    if !is_expected
        && let Some((other, _)) = inspected
            .iter()
            .find(|(other, there)| **other != id && shares(here, there))
    {
        return aside(
            code::VAULT_LOCATION_SHARED,
            format!("locations `{id}` and `{other}` are one folder, or one is inside the other"),
            "bind each location to a folder of its own, on storage that fails independently",
            true,
        );
    }
    match (&here.mark, identity) {
        (Some(mark), Some(_)) if is_expected => Verdict::Expected(mark.clone()),
        (Some(mark), _) if mark.location_id != *id => {
            let other = &mark.location_id;
            unexpected(
                id,
                &format!("its mark says that it is location `{other}`"),
                true,
            )
        }
        (Some(_), Some(_)) => unexpected(id, "its mark is another one than at its first use", true),
        (None, Some(_)) => unexpected(id, "it lacks its mark, as an unmounted disk does", false),
        (None, None) if in_catalog && !here.holds_known => unexpected(
            id,
            "it holds none of the recovery points that the catalog names there",
            false,
        ),
        (found, None) => Verdict::First {
            found: found.clone(),
            in_use: in_catalog,
        },
    }
}

fn unexpected(id: &LocationId, why: &str, needs_person: bool) -> Verdict {
    aside(
        code::VAULT_LOCATION_NOT_EXPECTED,
        format!("location `{id}` is not the one that was used before: {why}"),
        "mount its disk; if the folder is right, `seawalld location adopt ID` accepts it",
        needs_person,
    )
}

fn aside(code: code::Code, message: String, help: &str, needs_person: bool) -> Verdict {
    Verdict::Aside(Aside {
        failure: Failure::new(code, message, help),
        needs_person,
    })
}

/// Whether two locations are one folder, one inside the other, or copies of each other.
fn shares(one: &Inspected, other: &Inspected) -> bool {
    let nested = match (&one.in_file_system, &other.in_file_system) {
        (Some(one), Some(other)) => one.contains(other) || other.contains(one),
        (Some(_) | None, Some(_) | None) => false,
    };
    let marked_alike = matches!((&one.mark, &other.mark), (Some(one), Some(other)) if one == other);
    let one_folder = one.folder.is_some() && one.folder == other.folder;
    one_folder || nested || marked_alike
}

/// What a location fails with: the device of a folder, or a bucket.
fn device(inspected: &Inspected) -> Option<String> {
    match inspected.folder {
        Some((device, _)) => Some(device.to_string()),
        None => Some(inspected.in_file_system.as_ref()?.device.clone()),
    }
}

/// Locations that are on the same device, in pairs: they fail together.
pub fn on_one_device(locations: &Locations) -> Vec<(LocationId, LocationId)> {
    let devices: Vec<(&LocationId, String)> = locations
        .standings
        .iter()
        .filter_map(|(id, standing)| Some((id, device(standing.inspected.as_ref()?)?)))
        .collect();
    let mut pairs = Vec::new();
    for (index, (one, device)) in devices.iter().enumerate() {
        for (other, _) in devices
            .iter()
            .skip(index + 1)
            .filter(|(_, at)| at == device)
        {
            pairs.push(((*one).clone(), (*other).clone()));
        }
    }
    pairs
}

pub(super) fn failed(id: &LocationId, reply: Result<Reply, NoReply>) -> Failure {
    let (code, why, help) = match reply {
        Err(NoReply::Stopped) => return interrupted(),
        Err(NoReply::Silent) => (
            code::VAULT_LOCATION_SILENT,
            "does not answer".to_owned(),
            "repair its storage; it is used again when it answers",
        ),
        Ok(Reply::Absent(why)) => (
            code::VAULT_LOCATION_UNREACHABLE,
            format!("is not there: {why}"),
            "mount its disk or create its folder, or check endpoint, name and credentials of its bucket",
        ),
        Ok(Reply::Failed(why)) | Err(NoReply::Broken(why)) => (
            code::VAULT_LOCATION_FAILED,
            format!("failed: {why}"),
            "let the daemon's user write there, and check its storage, or the credentials of its bucket",
        ),
        Ok(
            Reply::Inspected(_)
            | Reply::Done
            | Reply::Copied(_)
            | Reply::CopyChanged
            | Reply::Resolved(_)
            | Reply::Silent,
        ) => (
            code::VAULT_LOCATION_FAILED,
            "was asked by a child that answered something else".to_owned(),
            "report this as a bug",
        ),
    };
    Failure::new(code, format!("location `{id}` {why}"), help)
}

/// What was cut short shows nothing of a location.
fn interrupted() -> Failure {
    Failure::new(
        code::RUN_INTERRUPTED,
        "the inspection of the locations was interrupted: the process was asked to end",
        "run it again",
    )
}

/// The newest recovery points that the catalog names at a location, each with its repository.
fn held_at(daemon: &Daemon, id: &LocationId) -> Result<Vec<(String, String)>, Failure> {
    let held = daemon.store.points_at(id, RECOGNISED_BY)?;
    let named = held.into_iter().filter_map(|run| {
        // `<location>:<environment>/<plan>/<kid>`
        let (_, repository) = run.storage_locations.get(id)?.split_once(':')?;
        Some((repository.to_owned(), run.snapshot_id?))
    });
    Ok(named.collect())
}

/// The newest snapshots of a repository that the catalog knows.
pub(super) fn known(
    daemon: &Daemon,
    plan: &PlanId,
    kid: &Kid,
) -> Result<BTreeSet<String>, Failure> {
    let newest = daemon.store.newest_points(plan, kid, RECOGNISED_BY)?;
    Ok(newest
        .into_iter()
        .filter_map(|run| run.snapshot_id)
        .collect())
}

/// Where live data are. Data that cannot be found overlap nothing that could be told.
fn sources(daemon: &Daemon) -> Result<Vec<(DatasetId, InFileSystem)>, Failure> {
    let paths: Vec<(DatasetId, PathBuf)> = daemon
        .config
        .datasets
        .iter()
        .filter_map(|(id, binding)| Some((id.clone(), path_of(binding)?)))
        .collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let order = Order::Resolve { sources: paths };
    match daemon.at_location(order) {
        Ok(Reply::Resolved(found)) => Ok(found),
        Err(NoReply::Stopped) => Err(interrupted()),
        Err(_) if daemon.stop.is_cancelled() => Err(interrupted()),
        other => {
            tracing::warn!(
                event = "sources_not_resolved",
                ?other,
                "whether locations and live data overlap is not known"
            );
            Ok(Vec::new())
        }
    }
}

fn path_of(binding: &Binding) -> Option<PathBuf> {
    match binding {
        Binding::Files(files) => Some(files.path.clone()),
        Binding::Jsonl(jsonl) => Some(jsonl.path.clone()),
        Binding::Sqlite(sqlite) => Some(sqlite.path.clone()),
        Binding::Postgres(_) => None,
    }
}

fn place(binding: &LocationBinding, mark: Option<Mark>) -> Place {
    let patience = binding.patience.map_or(DEFAULT_PATIENCE, |patience| {
        Duration::from_secs(patience.get())
    });
    let bandwidth = binding.bandwidth_bytes_per_second.map(NonZeroU64::get);
    match &binding.site {
        Site::Folder(path) => Place::Folder(LocationFolder {
            path: path.clone(),
            mark,
            patience,
            bandwidth,
        }),
        Site::Bucket(bucket) => Place::Bucket(Box::new(LocationBucket {
            binding: (**bucket).clone(),
            handed: bucket::handed(&bucket.credentials),
            mark,
            patience,
            bandwidth,
        })),
    }
}

pub(super) fn bound<'a>(
    config: &'a Config,
    id: &LocationId,
) -> Result<&'a LocationBinding, Failure> {
    config.locations.get(id).ok_or_else(|| {
        Failure::new(
            code::UNKNOWN_OBJECT,
            format!("the configuration binds no location `{id}`"),
            "name a location of `locations` in the configuration",
        )
    })
}

/// A folder of the state folder, closed to others.
pub(super) fn private_folder(config: &Config, name: &str) -> Result<PathBuf, Failure> {
    Folder::open(&config.state)
        .and_then(|state| state.make(name.as_ref(), PRIVATE_FOLDER))
        .map_err(|error| {
            Failure::new(
                code::STORE_UNUSABLE,
                format!("the state folder cannot be used: {error}"),
                "let the daemon's user write below the state folder",
            )
        })?;
    Ok(config.state.join(name))
}

/// The location for a child, with its lock file in the state folder.
pub(super) fn at(config: &Config, id: &LocationId) -> Result<At, Failure> {
    let folder = private_folder(config, "locations")?;
    Ok(At {
        location_id: id.clone(),
        place: place(bound(config, id)?, None),
        lock: folder.join(id.as_str()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// One location of a test: name, inode, path in its file system, mark as `location:identity`.
    fn found(inode: u64, path: &str, mark: Option<(&str, &str)>, holds_known: bool) -> Inspected {
        Inspected {
            folder: Some((1, inode)),
            in_file_system: Some(InFileSystem {
                device: "8:1".to_owned(),
                path: path.into(),
            }),
            mark: mark.map(|(id, identity)| Mark {
                location_id: id.parse().unwrap(),
                identity: identity.to_owned(),
            }),
            mark_problem: None,
            checkpoint: None,
            checkpoint_problem: None,
            holds_known,
            unwritable: None,
            capacity: None,
        }
    }

    /// The verdict about `near`, in a word.
    fn verdict(
        near: &Inspected,
        far: &Inspected,
        identity: Option<&str>,
        in_catalog: bool,
        source: Option<&str>,
    ) -> String {
        let ids: [LocationId; 2] = ["near", "far"].map(|id| id.parse().unwrap());
        let all = BTreeMap::from([(&ids[0], near), (&ids[1], far)]);
        let sources: Vec<_> = source
            .map(|path| {
                let device = "8:1".to_owned();
                let path = path.into();
                ("ds_a".parse().unwrap(), InFileSystem { device, path })
            })
            .into_iter()
            .collect();
        match judge(&ids[0], identity, in_catalog, &all, &sources) {
            Verdict::Expected(_) => "expected".to_owned(),
            Verdict::First { found, in_use } => {
                format!(
                    "first {} {in_use}",
                    if found.is_some() { "marked" } else { "bare" }
                )
            }
            Verdict::Aside(aside) => {
                format!("{} {}", aside.failure.code.name(), aside.needs_person)
            }
        }
    }

    #[test]
    fn a_location_is_what_its_mark_says() {
        let far = found(2, "/far", Some(("far", "f")), false);
        let check = |near: &Inspected, identity, in_catalog| {
            verdict(near, &far, identity, in_catalog, None)
        };
        let marked = found(1, "/near", Some(("near", "n")), false);
        let bare = found(1, "/near", None, false);
        let holds = found(1, "/near", None, true);
        assert_eq!(check(&marked, Some("n"), true), "expected");
        assert_eq!(
            check(&marked, Some("m"), true),
            "location-not-expected true"
        );
        assert_eq!(check(&bare, Some("n"), true), "location-not-expected false");
        assert_eq!(check(&bare, None, false), "first bare false");
        assert_eq!(check(&marked, None, false), "first marked false");
        // Used before there were marks.
        assert_eq!(check(&holds, None, true), "first bare true");
        assert_eq!(check(&bare, None, true), "location-not-expected false");
        let other = found(1, "/near", Some(("far", "f2")), true);
        assert_eq!(check(&other, None, true), "location-not-expected true");
        assert_eq!(check(&other, Some("n"), true), "location-not-expected true");
    }

    #[test]
    fn two_locations_are_two_folders() {
        let near = found(1, "/x", None, false);
        for far in [
            found(1, "/elsewhere", None, false),
            found(2, "/x", None, false),
            found(2, "/x/far", None, false),
            found(2, "/", None, false),
        ] {
            let verdict = verdict(&near, &far, None, false, None);
            assert_eq!(verdict, "location-shared true", "{far:?}");
        }
        let near = found(1, "/x", Some(("near", "n")), false);
        let copy = found(2, "/y", Some(("near", "n")), false);
        assert_eq!(
            verdict(&near, &copy, None, false, None),
            "location-shared true"
        );
        // The one that was there first stays.
        let far = found(1, "/x", Some(("near", "n")), false);
        assert_eq!(verdict(&near, &far, Some("n"), true, None), "expected");
        let far = found(2, "/xy", None, false);
        assert_eq!(verdict(&near, &far, Some("n"), true, None), "expected");
    }

    #[test]
    fn a_location_and_live_data_are_apart() {
        let near = found(1, "/srv/backup", Some(("near", "n")), false);
        let far = found(2, "/far", None, false);
        let check = |source| verdict(&near, &far, Some("n"), true, Some(source));
        assert_eq!(check("/srv"), "location-in-source true");
        assert_eq!(check("/srv/backup/live"), "location-in-source true");
        assert_eq!(check("/srv/backup"), "location-in-source true");
        assert_eq!(check("/srv/backup2"), "expected");
    }
}
