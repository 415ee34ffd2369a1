//! Owns the way back after the state was lost, or is older than what happened: the receipt log and the catalog are built again from what the
//! locations hold. Never shortens the log, takes nothing from a copy that does not hold, and decides between two copies only where one is
//! the beginning of the other. The interesting function is [`rebuild`].
//!
//! Until its last commit the log is shorter than the copies, so that a rebuild that was interrupted is begun again and no other command
//! goes on from a part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::Range;
use std::path::Path;

use contract::code;
use contract::digest::Digest;
use contract::id::{BackupId, DatasetId, Kid, LocationId, PlanId};
use contract::model::Model;
use contract::receipt::{
    Authority, Checkpoint, DecisionType, Ledger, MAX_LINE_BYTES, Outcome as Result_, Phase,
    open_line,
};
use contract::seal::{PublicKey, TrustRoot};
use jiff::Timestamp;
use serde::Serialize;
use tempfile::TempDir;

use super::effects::Effects;
use super::locations::{self, Locations};
use super::{Daemon, copies, policy};
use crate::config::Config;
use crate::domain::{Change, Draft, Operation, Run};
use crate::failure::Failure;
use crate::operation::replay::{Listing, Replay, Shown};
use crate::store::ReceiptLine;
use crate::worker::Access;
use crate::world::cancel::Cancel;
use crate::world::folder::Folder;
use crate::world::location::{Order, Reply};
use crate::world::vault::SnapshotInfo;

/// Lines that are committed at a time.
const PAGE: usize = 1_000;

/// Who says what the root of a copy is.
const ITS_OWN: &str = "its own checkpoint";

/// What a person asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The location whose copy of the log is taken, although others cannot be read or say something else.
    pub from: Option<LocationId>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// It is only read from, so that the longest copy that can be had is good enough.
    pub reads_only: bool,
}

impl Wanted {
    /// Whether it is decided already that the other copies do not matter.
    const fn is_decided(&self) -> bool {
        self.from.is_some() || self.reads_only
    }
}

/// What was built again.
#[derive(Debug, Clone, Serialize)]
pub struct Rebuilt {
    /// The location whose copy of the receipt log was taken; absent where no location has one.
    pub from: Option<String>,
    /// Receipts in the log.
    pub receipts: u64,
    /// Those of them that the state did not have.
    pub new_receipts: u64,
    /// Recovery points in the catalog that were not there.
    pub points: Vec<PointView>,
    /// Operations whose outcome is not known yet; the next round finds out.
    pub open_operations: u64,
    /// Locations that were not read, and why.
    pub not_read: BTreeMap<String, String>,
    /// Repositories that could not be listed, and why.
    pub not_listed: BTreeMap<String, String>,
    /// Whether nothing was changed.
    pub is_dry_run: bool,
}

/// One recovery point.
#[derive(Debug, Clone, Serialize)]
pub struct PointView {
    /// Its id.
    pub backup_id: String,
    /// Its plan.
    pub plan_id: String,
    /// What it shows.
    pub shows: Option<String>,
    /// Where it is.
    pub locations: Vec<String>,
    /// `verified`, `pending`, `suspect`, `lost` or `unconfirmed`.
    pub standing: String,
}

/// A copy of the log that holds as far as its checkpoint says.
struct Copy {
    location: LocationId,
    checkpoint: Checkpoint,
}

/// A folder that goes with this process; what a killed one leaves is swept with the spool.
fn scratch(config: &Config) -> Result<TempDir, Failure> {
    let spool = config.spool_path();
    std::fs::create_dir_all(&spool)
        .and_then(|()| tempfile::tempdir_in(&spool))
        .map_err(|error| {
            Failure::new(
                code::STORE_UNUSABLE,
                format!("nothing can be rebuilt in the state folder: {error}"),
                "make room below the state folder",
            )
        })
}

/// A daemon over a state that was rebuilt to read from, and that goes with it: nothing that it records lasts, or reaches a location.
#[derive(Debug)]
pub struct Aside {
    /// The daemon.
    pub daemon: Daemon,
    _state: TempDir,
}

/// Rebuilds the state for one command that only reads, where the state itself is behind: data must come back whatever became of it.
pub fn aside(mut config: Config, stop: Cancel) -> Result<Aside, Failure> {
    let state = scratch(&config)?;
    state.path().clone_into(&mut config.state);
    let daemon = Daemon::open_aside(config, stop)?;
    let by = |from: Option<&LocationId>| Wanted {
        from: from.cloned(),
        reads_only: true,
        ..Wanted::default()
    };
    // Nothing is taken from a copy that does not hold, and the next one may.
    let longest = rebuild(&daemon, &by(None));
    let mut others = daemon.config.locations.keys();
    let holds = |id: &LocationId| rebuild(&daemon, &by(Some(id))).is_ok();
    if let Err(failure) = longest
        && !others.any(holds)
    {
        return Err(failure);
    }
    // They were looked at before it was known what marks them.
    daemon.forget_locations();
    Ok(Aside {
        daemon,
        _state: state,
    })
}

/// Builds the log and the catalog again.
pub fn rebuild(daemon: &Daemon, wanted: &Wanted) -> Result<Rebuilt, Failure> {
    let now = daemon.effects.now();
    let authority = daemon.log().authority().clone();
    let model = policy::published(&daemon.config, daemon.effects.as_ref(), &daemon.stop).ok();
    let locations = daemon.locations()?;
    let mut not_read = unread(&locations);
    let copies = readable(daemon, &locations, &authority, &mut not_read);
    let copies = chosen(wanted, copies, &not_read)?;
    let ours = daemon.log().ledger().size();
    let incoming = scratch(&daemon.config)?;
    let mut replay = Replay::default();
    // A log that is as long as every copy has lost nothing.
    let longer = copies.first().filter(|copy| copy.checkpoint.size > ours);
    let size = if let Some(copy) = longer {
        bring(daemon, copy, incoming.path())?;
        let mut expected = Expected::default();
        expected.add(copy.checkpoint.size, ITS_OWN, copy.checkpoint.root);
        {
            let log = daemon.log();
            expected.add(ours, "the log of the state folder", log.ledger().root());
        }
        // Who names a copy has decided about the others.
        if !wanted.is_decided() {
            expected.add_all(copies.get(1..).unwrap_or_default());
        }
        let whose = format!("the copy of the receipts at location `{}`", copy.location);
        let mut lines = lines_of(incoming.path())?;
        let mut next = || next_line(&mut lines);
        let covered = copy.checkpoint.size;
        verify(
            &whose,
            covered,
            expected,
            &authority,
            &mut next,
            &mut replay,
        )?
    } else {
        let mut expected = Expected::default();
        if !wanted.is_decided() {
            expected.add_all(&copies);
        }
        let mut at = 0;
        let mut next = || {
            let line = daemon.store.receipts(at, 1)?.into_iter().next();
            at += 1;
            Ok(line.map(String::into_bytes))
        };
        let whose = "the log of the state folder";
        verify(whose, ours, expected, &authority, &mut next, &mut replay)?
    };
    let mut not_listed = BTreeMap::new();
    let listing = listing(daemon, &replay, model.as_ref(), &not_read, &mut not_listed);
    let kid_of = |plan: &PlanId| kid_of(daemon, model.as_ref(), plan);
    let kept: BTreeMap<BackupId, Run> = daemon
        .store
        .points(None)?
        .into_iter()
        .map(|run| (run.backup_id.clone(), run))
        .collect();
    let points = replay.points(&listing, |id| kept.get(id).cloned(), ours, kid_of, now);
    let open = replay.open(&listing, kid_of);
    let mut rebuilt = Rebuilt {
        from: longer.map(|copy| copy.location.to_string()),
        receipts: size,
        new_receipts: size - ours,
        points: Vec::new(),
        open_operations: open.len() as u64,
        not_read: named(&not_read),
        not_listed,
        is_dry_run: wanted.dry_run,
    };
    let changes = changes(daemon, &replay, &kept, points, open, &mut rebuilt, now)?;
    if !wanted.dry_run && (longer.is_some() || !changes.is_empty()) {
        for some in changes.chunks(PAGE) {
            daemon.store.commit(some, &[])?;
        }
        let draft = adoption(daemon, &rebuilt, longer);
        match longer {
            Some(copy) => {
                // Until the last of them there are fewer than the copy's checkpoint covers.
                let last = (copy.checkpoint.size - 1).max(ours);
                let lines = take_over(daemon, &authority, incoming.path(), ours..size, last)?;
                let mut log = daemon.log();
                log.go_on_from(daemon.store.as_ref(), authority, lines, draft, now)?;
            }
            None => daemon.commit(&[], vec![draft], now)?,
        }
        rebuilt.receipts += 1;
    }
    Ok(rebuilt)
}

/// The keys that the published trust root lists for this reconciler: an earlier one may have signed the log.
pub(super) fn published_keys(
    config: &Config,
    effects: &dyn Effects,
    stop: &Cancel,
) -> Vec<PublicKey> {
    let roots = match effects.published(config, None, stop) {
        Ok(published) => published.map(|published| published.roots),
        Err(failure) => {
            tracing::warn!(event = "policy_not_followed", code = %failure.code, "{}", failure.message);
            None
        }
    };
    let root = roots.and_then(|roots| policy::roots(config, &roots).ok());
    let keys = |root: TrustRoot| root.reconciler_keys(&config.environment, &config.reconciler_id);
    root.map(keys).unwrap_or_default()
}

fn unread(locations: &Locations) -> BTreeMap<LocationId, String> {
    let aside = locations.standings.iter().filter_map(|(id, standing)| {
        let why = standing.aside.as_ref()?;
        Some((id.clone(), why.failure.message.clone()))
    });
    aside.collect()
}

/// The copies whose checkpoints hold. Where one does not, its location counts as not read.
fn readable(
    daemon: &Daemon,
    locations: &Locations,
    authority: &Authority,
    not_read: &mut BTreeMap<LocationId, String>,
) -> Vec<Copy> {
    let mut copies = Vec::new();
    for (id, standing) in &locations.standings {
        let Some(inspected) = standing
            .inspected
            .as_ref()
            .filter(|_| standing.aside.is_none())
        else {
            continue;
        };
        if let Some(why) = &inspected.checkpoint_problem {
            not_read.insert(id.clone(), why.clone());
        }
        let Some(note) = &inspected.checkpoint else {
            continue;
        };
        match Checkpoint::open(note.as_bytes(), authority) {
            Ok(checkpoint) => copies.push(Copy {
                location: id.clone(),
                checkpoint,
            }),
            Err(fault) => {
                let folder = copies::folder_of(daemon, id);
                let why = format!(
                    "the checkpoint in `{}` does not hold: {fault}",
                    folder.display()
                );
                not_read.insert(id.clone(), why);
            }
        }
    }
    copies.sort_by_key(|copy| std::cmp::Reverse(copy.checkpoint.size));
    copies
}

/// The copies, the one that is to be taken first: the longest, or the one that a person names.
fn chosen(
    wanted: &Wanted,
    mut copies: Vec<Copy>,
    not_read: &BTreeMap<LocationId, String>,
) -> Result<Vec<Copy>, Failure> {
    if let Some(from) = &wanted.from {
        let Some(at) = copies.iter().position(|copy| copy.location == *from) else {
            let why = not_read.get(from).map_or("it has none", String::as_str);
            return Err(Failure::new(
                code::UNKNOWN_OBJECT,
                format!("no copy of the receipt log can be read at location `{from}`: {why}"),
                "name a location that has one",
            ));
        };
        copies.swap(0, at);
    } else if let Some((location, why)) = not_read.first_key_value()
        && !wanted.is_decided()
    {
        return Err(Failure::new(
            code::REBUILD_UNDECIDED,
            format!("location `{location}` may have the newest receipts and cannot be read: {why}"),
            "bring it back; if it is lost, name the location whose copy is to be taken with `--from`",
        ));
    }
    Ok(copies)
}

/// Has a child put a copy into our folder.
fn bring(daemon: &Daemon, copy: &Copy, incoming: &Path) -> Result<(), Failure> {
    let order = Order::ReadReceipts {
        at: locations::at(&daemon.config, &copy.location)?,
        receipts: daemon.receipts_below(),
        into: incoming.to_owned(),
        lines: copy.checkpoint.size,
    };
    match daemon.at_location(order) {
        Ok(Reply::Done) => Ok(()),
        other => Err(locations::failed(&copy.location, other)),
    }
}

/// Opens the file that a child brought here.
fn lines_of(incoming: &Path) -> Result<BufReader<File>, Failure> {
    let (file, _) = Folder::open(incoming)
        .and_then(|folder| folder.open_file("receipts.jsonl".as_ref()))
        .map_err(|error| unreadable(&error))?;
    Ok(BufReader::new(file))
}

fn unreadable(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        code::RECEIPT_COPY_FAILED,
        format!("the copy of the receipts cannot be read: {why}"),
        "check the space below the state folder, then rebuild again",
    )
}

/// The next line without its end; none at the end of the log. A line that was cut off is none.
fn next_line(lines: &mut BufReader<File>) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let mut one = lines.take(MAX_LINE_BYTES as u64 + 1);
    one.read_until(b'\n', &mut line)
        .map_err(|error| unreadable(&error))?;
    Ok(line.ends_with(b"\n").then(|| {
        line.pop();
        line
    }))
}

/// What the root of a log is to be at some of its sizes, and who says so.
#[derive(Default)]
struct Expected(BTreeMap<u64, Vec<(String, Digest)>>);

impl Expected {
    fn add(&mut self, size: u64, whose: &str, root: Digest) {
        let at = self.0.entry(size).or_default();
        at.push((whose.to_owned(), root));
    }

    fn add_all(&mut self, copies: &[Copy]) {
        for copy in copies {
            let whose = format!("the copy at location `{}`", copy.location);
            self.add(copy.checkpoint.size, &whose, copy.checkpoint.root);
        }
    }
}

/// Verifies every line of a log, of which so many are covered, and what it has to agree with. Gives how many there are.
fn verify(
    of: &str,
    covered: u64,
    mut expected: Expected,
    authority: &Authority,
    next: &mut dyn FnMut() -> Result<Option<Vec<u8>>, Failure>,
    replay: &mut Replay,
) -> Result<u64, Failure> {
    let help = "find out which of them is right, and name its location with `--from`; a state folder that differs has to be moved away first";
    let undecided = |why: String| Failure::new(code::REBUILD_UNDECIDED, why, help);
    let mut ledger = Ledger::new(authority.origin.clone());
    loop {
        let (size, root) = (ledger.size(), ledger.root());
        let here = expected.0.remove(&size).unwrap_or_default();
        if let Some((whose, _)) = here.iter().find(|(_, expected)| *expected != root) {
            return Err(undecided(format!(
                "{of} and {whose} differ within the first {size} lines"
            )));
        }
        let Some(line) = next()? else { break };
        let opened = open_line(&line, authority).and_then(|opened| {
            ledger.push(&opened.receipt, opened.leaf)?;
            Ok(opened)
        });
        match opened {
            Ok(opened) => replay.see(&opened.receipt),
            // What no checkpoint covers was under way when the process ended.
            Err(_) if size >= covered => break,
            Err(fault) => {
                return Err(Failure::new(
                    fault.code(),
                    format!("line {} of {of} does not hold: {fault}", size + 1),
                    "name another location with `--from`",
                ));
            }
        }
    }
    match expected.0.first_key_value() {
        None => Ok(ledger.size()),
        Some((size, whose)) => {
            let whose = whose.first().map(|(whose, _)| whose.as_str());
            let (whose, found) = (whose.unwrap_or_default(), ledger.size());
            Err(undecided(format!(
                "{of} has {found} lines, {whose} covers {size}"
            )))
        }
    }
}

/// What the locations show of every plan that policy or receipts name, under every key that is bound.
fn listing(
    daemon: &Daemon,
    replay: &Replay,
    model: Option<&Model>,
    not_read: &BTreeMap<LocationId, String>,
    not_listed: &mut BTreeMap<String, String>,
) -> Listing {
    let config = &daemon.config;
    let mut plans = replay.plans.clone();
    plans.extend(model.iter().flat_map(|model| model.plans.keys().cloned()));
    let mut listing = Listing {
        kids: config.keys.keys().cloned().collect(),
        environment: config.environment.to_string(),
        ..Listing::default()
    };
    for (plan, kid) in plans
        .iter()
        .flat_map(|plan| config.keys.keys().map(move |kid| (plan, kid)))
    {
        let locations = config.locations.keys().cloned();
        let found = Access::new(daemon, plan, kid, locations)
            .and_then(|access| Ok((access.repository(), daemon.effects.snapshots(&access)?)));
        let mut unlisted = |location: &LocationId| {
            let place = (plan.clone(), kid.clone(), location.clone());
            listing.unlisted.insert(place);
        };
        not_read.keys().for_each(&mut unlisted);
        let (repository, found) = match found {
            Ok(found) => found,
            Err(failure) => {
                config.locations.keys().for_each(&mut unlisted);
                not_listed.insert(format!("{plan}/{kid}"), failure.message);
                continue;
            }
        };
        for (location, why) in &found.unknown {
            unlisted(location);
            if !not_read.contains_key(location) {
                not_listed.insert(format!("{plan}/{kid} at {location}"), why.clone());
            }
        }
        for (location, damaged) in &found.damaged {
            unlisted(location);
            not_listed.insert(format!("{plan}/{kid} at {location}"), damaged.join("; "));
        }
        let here = found.points.into_iter();
        let here = here.filter_map(|(info, held)| shown(info, held, plan, kid, &repository));
        listing.shown.extend(here);
    }
    listing
}

/// A snapshot that is a point of a plan by its tags, and has folders of datasets.
fn shown(
    info: SnapshotInfo,
    held: Vec<LocationId>,
    plan: &PlanId,
    kid: &Kid,
    repository: &str,
) -> Option<Shown> {
    let tags = info.tags?;
    let folders = info.paths.iter();
    let dataset_ids: BTreeSet<DatasetId> = folders
        .filter_map(|path| path.strip_prefix('/')?.parse().ok())
        .collect();
    if dataset_ids.is_empty() {
        return None;
    }
    Some(Shown {
        snapshot_id: info.snapshot_id,
        backup_id: tags.backup_id.parse::<BackupId>().ok()?,
        plan_id: tags.plan_id.parse().ok().filter(|named| named == plan)?,
        slot: tags.slot.and_then(|slot| slot.parse().ok()),
        dataset_ids,
        kid: kid.clone(),
        time: info.time,
        bytes: info.bytes,
        added_bytes: info.added_bytes,
        before_restore: tags.before_restore,
        repository: repository.to_owned(),
        locations: held.into_iter().collect(),
    })
}

/// The key of a plan: the policy's, or the only one that is bound.
fn kid_of(daemon: &Daemon, model: Option<&Model>, plan: &PlanId) -> Option<Kid> {
    let of_policy = model.and_then(|model| model.plans.get(plan));
    let of_policy = of_policy.map(|plan| plan.encryption_key_ref.clone());
    of_policy.or_else(|| daemon.config.keys.keys().next().cloned())
}

/// What the store lacks.
fn changes(
    daemon: &Daemon,
    replay: &Replay,
    kept: &BTreeMap<BackupId, Run>,
    points: Vec<Run>,
    open: Vec<Operation>,
    rebuilt: &mut Rebuilt,
    now: Timestamp,
) -> Result<Vec<Change>, Failure> {
    let store = daemon.store.as_ref();
    let mut changes = Vec::new();
    let known = store.location_identities()?;
    let identities = replay.identities.values();
    let newer = identities.filter(|it| {
        let known = known.get(&it.location_id);
        known.is_none_or(|known| known.first_seen < it.first_seen)
    });
    changes.extend(newer.cloned().map(Change::LocationIdentity));
    // Before the points, so that a store which has some of those has all of these.
    for deletion in replay.removed.values() {
        let stored = kept.get(&deletion.backup_id);
        if stored.is_some() || kept.is_empty() {
            let mut deletion = deletion.clone();
            if let Some(snapshot) = stored.and_then(|run| run.snapshot_id.clone()) {
                deletion.snapshot_id = snapshot;
            }
            changes.push(Change::PointRemoved(deletion));
        }
    }
    for point in points {
        match kept.get(&point.backup_id) {
            None => {
                rebuilt.points.push(view(&point));
                changes.push(Change::RunEnded(Box::new(point)));
            }
            Some(kept) if *kept == point => {}
            Some(_) => changes.push(Change::RunChanged(Box::new(point))),
        }
    }
    // Older ones may have been joined since.
    let mut newest: BTreeMap<PlanId, Timestamp> = BTreeMap::new();
    for slot in store.slots(None)? {
        let known = newest.entry(slot.plan_id).or_insert(slot.last);
        *known = (*known).max(slot.last);
    }
    let slots = replay.slots.iter();
    let new = slots.filter(|slot| {
        let known = newest.get(&slot.plan_id);
        known.is_none_or(|known| *known < slot.first)
    });
    changes.extend(new.cloned().map(Change::SlotEnded));
    changes.extend(replay.operations(&store.operations()?, open, now));
    Ok(changes)
}

fn view(run: &Run) -> PointView {
    use crate::domain::Verification;
    let standing = match &run.verification {
        Verification::Lost { .. } => "lost",
        Verification::Suspect { .. } => "suspect",
        Verification::Pending | Verification::Verified { .. } if !run.collapsed.is_empty() => {
            "unconfirmed"
        }
        Verification::Pending => "pending",
        Verification::Verified { .. } => "verified",
    };
    PointView {
        backup_id: run.backup_id.to_string(),
        plan_id: run.plan_id.to_string(),
        shows: run.consistent_at.map(|at| at.to_string()),
        locations: run
            .storage_locations
            .keys()
            .map(ToString::to_string)
            .collect(),
        standing: standing.to_owned(),
    }
}

/// Takes over the lines that the store lacks, in their order; those from `last` on are left to the caller.
fn take_over(
    daemon: &Daemon,
    authority: &Authority,
    incoming: &Path,
    places: Range<u64>,
    last: u64,
) -> Result<Vec<ReceiptLine>, Failure> {
    let mut lines = lines_of(incoming)?;
    let mut page = Vec::new();
    for position in 0..places.end {
        let line = next_line(&mut lines)?.ok_or_else(|| unreadable(&"it became shorter"))?;
        if position == last || page.len() == PAGE && position < last {
            daemon.store.commit(&[], &page)?;
            page.clear();
        }
        if position >= places.start {
            let opened = open_line(&line, authority).map_err(|fault| unreadable(&fault))?;
            let line = String::from_utf8(line).map_err(|error| unreadable(&error))?;
            let at = opened.receipt.created_at;
            page.push(ReceiptLine { position, line, at });
        }
    }
    Ok(page)
}

fn named(all: &BTreeMap<LocationId, String>) -> BTreeMap<String, String> {
    all.iter()
        .map(|(id, why)| (id.to_string(), why.clone()))
        .collect()
}

/// The receipt that says from what the log continues.
fn adoption(daemon: &Daemon, rebuilt: &Rebuilt, copy: Option<&Copy>) -> Draft {
    let now = crate::plan::stamp(daemon.effects.now());
    let mut draft = Draft::new(
        DecisionType::Adoption,
        Phase::Decision,
        &format!("catalog.{now}"),
    );
    draft.result = Some(Result_::Success);
    draft.actor = daemon.person();
    let mut say = |name: &str, what: String| draft.details.insert(name.to_owned(), what);
    say("how", "rebuilt".to_owned());
    say("points", rebuilt.points.len().to_string());
    say("new_receipts", rebuilt.new_receipts.to_string());
    if let Some(copy) = copy {
        say("from_location", copy.location.to_string());
        say("from_size", copy.checkpoint.size.to_string());
        draft
            .evidence
            .insert("from_root".to_owned(), copy.checkpoint.root);
    }
    if !rebuilt.not_read.is_empty() {
        let all: Vec<&str> = rebuilt.not_read.keys().map(String::as_str).collect();
        draft.details.insert("not_read".to_owned(), all.join(" "));
    }
    draft
}
