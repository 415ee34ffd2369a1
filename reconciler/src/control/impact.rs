//! Owns what the loss of one object of a repository comes to: which recovery points need it, and where else they are. Reads only. The
//! interesting function is [`impact`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::code;
use contract::id::{Kid, LocationId, PlanId};
use serde::Serialize;

use super::{Daemon, locations};
use crate::config::Config;
use crate::domain::Run;
use crate::failure::Failure;
use crate::worker::Access;
use crate::worker::meter::Meter;
use crate::worker::protocol::Limit;
use crate::worker::supervisor::Helper;
use crate::world::vault::{Kind, Object, VaultError};

/// Every tree of every recovery point is looked at, and a person waits.
const WAITS: Duration = Duration::from_hours(4);

/// What depends on an object.
#[derive(Debug, Clone, Serialize)]
pub struct Impact {
    /// The location.
    pub location: String,
    /// The object, below the location.
    pub object: String,
    /// Whether it is there now.
    pub is_there: bool,
    /// The recovery points that cannot be read whole from this location without it.
    pub affected: Vec<Affected>,
    /// How many recovery points there do not need it.
    pub unaffected: u64,
}

/// One recovery point that needs the object.
#[derive(Debug, Clone, Serialize)]
pub struct Affected {
    /// Its snapshot.
    pub snapshot_id: String,
    /// Its id; absent for a snapshot that the catalog does not know.
    pub backup_id: Option<String>,
    /// What it shows.
    pub shows: Option<String>,
    /// The first thing that is missing.
    pub why: String,
    /// Other locations that hold it, as far as is known sound.
    pub elsewhere: Vec<String>,
}

/// An object, and the repository that it is in where that was said.
struct Wanted {
    repository: Option<(PlanId, Kid)>,
    object: Object,
}

/// Says which recovery points need an object: `data/ab/…` or its full path, or the name of a pack.
pub fn impact(daemon: &Daemon, location: &LocationId, text: &str) -> Result<Vec<Impact>, Failure> {
    let wanted = parse(&daemon.config, location, text)?;
    let points = daemon.store.points(None)?;
    let held = points
        .iter()
        .filter(|run| run.storage_locations.contains_key(location));
    let known: BTreeSet<(PlanId, Kid)> = held
        .map(|run| (run.plan_id.clone(), run.kid.clone()))
        .collect();
    let repositories = match &wanted.repository {
        Some(repository) => BTreeSet::from([repository.clone()]),
        None => known,
    };
    let mut all = Vec::new();
    for (plan, kid) in &repositories {
        all.push(in_repository(
            daemon,
            location,
            (plan, kid),
            &wanted.object,
            &points,
        )?);
    }
    // Where it is in one of several repositories, the others are not meant.
    if all.iter().any(|one| one.is_there) {
        all.retain(|one| one.is_there);
    }
    if all.is_empty() {
        return Err(Failure::new(
            code::UNKNOWN_OBJECT,
            format!("the catalog names no recovery point at location `{location}`"),
            "name another location, or the repository before the object: `PLAN/KID/data/…`",
        ));
    }
    Ok(all)
}

fn in_repository(
    daemon: &Daemon,
    location: &LocationId,
    (plan, kid): (&PlanId, &Kid),
    object: &Object,
    points: &[Run],
) -> Result<Impact, Failure> {
    let access = Access::new(daemon, plan, kid, [location.clone()])?;
    let standing = daemon.locations()?.standings.get(location).cloned();
    if let Some(aside) = standing
        .as_ref()
        .and_then(|standing| standing.aside.as_ref())
    {
        return Err(aside.failure.clone());
    }
    let repository = access.repository();
    let store = standing.map(|standing| standing.place.store(&repository));
    let is_there = store.is_some_and(|store| store.read_range(object, 0..1).is_ok());
    // Next to a running daemon, too: it only reads.
    let limit = Limit::Within(WAITS);
    let worker = Helper::this_program(limit, daemon.stop.clone(), Meter::default());
    let worker = worker.map_err(VaultError::from)?;
    let path = object.path();
    let found = access.vault()?.impact(location, &path, &worker)?;
    let by_snapshot: BTreeMap<&str, &Run> = points
        .iter()
        .filter_map(|run| Some((run.snapshot_id.as_deref()?, run)))
        .collect();
    let affected = found.broken.iter().map(|(snapshot_id, why)| {
        let run = by_snapshot.get(snapshot_id.as_str());
        let elsewhere = run.into_iter().flat_map(|run| {
            let held = run.storage_locations.keys();
            held.filter(|id| *id != location && !run.damaged_at.contains_key(*id))
        });
        Affected {
            snapshot_id: snapshot_id.clone(),
            backup_id: run.map(|run| run.backup_id.to_string()),
            shows: run.and_then(|run| Some(run.consistent_at?.to_string())),
            why: why.clone(),
            elsewhere: elsewhere.map(ToString::to_string).collect(),
        }
    });
    let mut affected: Vec<Affected> = affected.collect();
    affected.sort_by(|one, other| one.shows.cmp(&other.shows));
    Ok(Impact {
        location: location.to_string(),
        object: format!("{repository}/{path}"),
        is_there,
        unaffected: (found.held.len() - affected.len()) as u64,
        affected,
    })
}

/// An object as people and other programs name it: with or without the location and the repository before it.
fn parse(config: &Config, location: &LocationId, text: &str) -> Result<Wanted, Failure> {
    let place = locations::bound(config, location)?.site.shown();
    let below = text
        .strip_prefix(&place)
        .unwrap_or(text)
        .trim_start_matches('/');
    let environment = format!("{}/", config.environment);
    let below = below.strip_prefix(&environment).unwrap_or(below);
    let pack = || {
        let kind = Kind::Pack;
        let name = below.to_owned();
        Object::at(&Object { kind, name }.path())
    };
    let alone = Object::at(below).or_else(pack);
    if let Some(object) = alone {
        return Ok(Wanted {
            repository: None,
            object,
        });
    }
    let in_repository = || {
        let (plan, rest) = below.split_once('/')?;
        let (kid, path) = rest.split_once('/')?;
        Some(Wanted {
            repository: Some((plan.parse().ok()?, kid.parse().ok()?)),
            object: Object::at(path)?,
        })
    };
    in_repository().ok_or_else(|| {
        Failure::new(
            code::UNKNOWN_OBJECT,
            format!("`{text}` is no object of a repository"),
            "name it as messages do, such as `data/ab/<64 digits>`, or by its path below the location",
        )
    })
}
