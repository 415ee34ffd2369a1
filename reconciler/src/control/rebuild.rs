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
    Authority, Checkpoint, DecisionType, Ledger, MAX_LINE_BYTES, Opened, Outcome as Result_, Phase,
    open_line,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::locations::{self, Locations, private_folder};
use super::{Daemon, copies, policy};
use crate::domain::{Change, Draft, Operation, Run};
use crate::failure::Failure;
use crate::operation::replay::{Replay, Shown};
use crate::store::ReceiptLine;
use crate::worker::Access;
use crate::world::folder::Folder;
use crate::world::location::{Order, Reply};

/// Where a copy is while it is read, below the state folder.
const INCOMING: &str = "incoming";

/// Lines that are committed at a time.
const PAGE: usize = 1_000;

/// A log may have so many lines that its checkpoint does not cover yet: a process that was killed left them.
const UNCOVERED: u64 = 10_000;

/// What a person asks for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The location whose copy of the log is taken, although others cannot be read or say something else.
    pub from: Option<LocationId>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What was built again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Rebuilt {
    /// The location whose copy of the receipt log was taken; absent where no location has one.
    pub from: Option<String>,
    /// Receipts in the log.
    pub receipts: u64,
    /// Those of them that the state did not have.
    pub new_receipts: u64,
    /// Recovery points in the catalog that were not there.
    pub points: Vec<PointView>,
    /// Operations of which nobody knows yet how they ended; the next round finds out.
    pub open_operations: u64,
    /// Locations that were not read, and why.
    pub not_read: BTreeMap<String, String>,
    /// Repositories that could not be listed, and why.
    pub not_listed: BTreeMap<String, String>,
    /// Whether nothing was changed.
    pub is_dry_run: bool,
}

/// One recovery point.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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

/// Builds the log and the catalog again.
pub fn rebuild(daemon: &Daemon, wanted: &Wanted) -> Result<Rebuilt, Failure> {
    let now = daemon.effects.now();
    let (authority, model) = trusted(daemon);
    let locations = daemon.locations()?;
    let mut not_read = unread(&locations);
    let copies = readable(daemon, &locations, &authority, &mut not_read);
    let ours = daemon.log().ledger().size();
    // A log that is as long as every copy has lost nothing.
    let copy = chosen(wanted, copies, &not_read)?;
    let copy = copy.filter(|(copy, _)| copy.checkpoint.size > ours);
    let incoming = private_folder(&daemon.config, INCOMING)?;
    let mut replay = Replay::default();
    let mut size = ours;
    if let Some((copy, others)) = &copy {
        bring(daemon, copy, &incoming)?;
        let read = read(
            daemon,
            copy,
            others,
            wanted,
            &authority,
            &incoming,
            &mut replay,
        )?;
        size = read.max(ours);
    } else {
        replay_own(daemon, &authority, &mut replay)?;
    }
    let mut not_listed = BTreeMap::new();
    let aside: BTreeSet<LocationId> = not_read.keys().cloned().collect();
    let shown = shown(daemon, &replay, model.as_ref(), &mut not_listed);
    let kid_of = |plan: &PlanId| kid_of(daemon, model.as_ref(), plan);
    let points = replay.points(&shown, &aside, kid_of, now);
    let open = replay.open(kid_of);
    let mut rebuilt = Rebuilt {
        from: copy.as_ref().map(|(copy, _)| copy.location.to_string()),
        receipts: size,
        new_receipts: size - ours,
        points: Vec::new(),
        open_operations: open.len() as u64,
        not_read: named(&not_read),
        not_listed,
        is_dry_run: wanted.dry_run,
    };
    let changes = changes(daemon, &replay, points, open, &mut rebuilt, now)?;
    if !wanted.dry_run {
        for some in changes.chunks(PAGE) {
            daemon.store.commit(some, &[])?;
        }
        if copy.is_some() {
            take_over(daemon, &authority, &incoming, ours..size)?;
        }
        daemon.log().read_anew(daemon.store.as_ref(), authority)?;
        daemon.commit(&[], vec![told(daemon, &rebuilt, copy.as_ref())], now)?;
        rebuilt.receipts += 1;
    }
    // What was brought here is a copy.
    drop(std::fs::remove_dir_all(&incoming));
    Ok(rebuilt)
}

/// The keys that may have signed the log: ours, and those that the published trust root lists; and the published policy, if it can be
/// had.
fn trusted(daemon: &Daemon) -> (Authority, Option<Model>) {
    let mut authority = daemon.log().authority().clone();
    let config = &daemon.config;
    let published = daemon.effects.published(config, None, &daemon.stop);
    let roots = match published {
        Ok(Some(published)) => published.roots,
        Ok(None) => Vec::new(),
        Err(failure) => {
            tracing::warn!(event = "policy_not_followed", code = %failure.code, "{}", failure.message);
            Vec::new()
        }
    };
    if let Ok(root) = policy::roots(config, &roots) {
        for key in root.reconciler_keys(&config.environment, &config.reconciler_id) {
            if !authority.keys.contains(&key) {
                authority.keys.push(key);
            }
        }
    }
    let model = policy::published(config, daemon.effects.as_ref(), &daemon.stop);
    (authority, model.ok())
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

/// The longest copy, and the others; none where there is none.
fn chosen(
    wanted: &Wanted,
    mut copies: Vec<Copy>,
    not_read: &BTreeMap<LocationId, String>,
) -> Result<Option<(Copy, Vec<Copy>)>, Failure> {
    if let Some(from) = &wanted.from {
        let Some(at) = copies.iter().position(|copy| copy.location == *from) else {
            let why = not_read.get(from).map_or("it has none", String::as_str);
            return Err(Failure::new(
                code::UNKNOWN_OBJECT,
                format!("no copy of the receipt log can be read at location `{from}`: {why}"),
                "name a location that has one",
            ));
        };
        let copy = copies.remove(at);
        return Ok(Some((copy, copies)));
    }
    if let Some((location, why)) = not_read.first_key_value() {
        return Err(Failure::new(
            code::REBUILD_UNDECIDED,
            format!("location `{location}` may have the newest receipts and cannot be read: {why}"),
            "bring it back; if it is lost, name the location whose copy is to be taken with `--from`",
        ));
    }
    if copies.is_empty() {
        return Ok(None);
    }
    let longest = copies.remove(0);
    Ok(Some((longest, copies)))
}

/// Has a child put a copy into our folder.
fn bring(daemon: &Daemon, copy: &Copy, incoming: &Path) -> Result<(), Failure> {
    let lines = copy.checkpoint.size.saturating_add(UNCOVERED);
    let order = Order::ReadReceipts {
        at: locations::at(&daemon.config, &copy.location)?,
        receipts: daemon.receipts_below(),
        into: incoming.to_owned(),
        most: lines.saturating_mul(MAX_LINE_BYTES as u64 + 1),
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

/// Verifies every line of the copy, and what it stands on: its own checkpoint, our log, the other copies. Gives how many there are.
fn read(
    daemon: &Daemon,
    copy: &Copy,
    others: &[Copy],
    wanted: &Wanted,
    authority: &Authority,
    incoming: &Path,
    replay: &mut Replay,
) -> Result<u64, Failure> {
    let location = &copy.location;
    let mut roots: BTreeMap<u64, Vec<(String, Digest)>> = BTreeMap::new();
    let mut expect = |size, whose: String, root| {
        roots.entry(size).or_default().push((whose, root));
    };
    expect(
        copy.checkpoint.size,
        "its own checkpoint".to_owned(),
        copy.checkpoint.root,
    );
    {
        let log = daemon.log();
        expect(
            log.ledger().size(),
            "the log of the state folder".to_owned(),
            log.ledger().root(),
        );
    }
    // Who names a copy has decided about the others.
    for other in others.iter().filter(|_| wanted.from.is_none()) {
        let whose = format!("the copy at location `{}`", other.location);
        expect(other.checkpoint.size, whose, other.checkpoint.root);
    }
    let mut ledger = Ledger::new(authority.origin.clone());
    let mut lines = lines_of(incoming)?;
    loop {
        if let Some(expected) = roots.remove(&ledger.size()) {
            let differs = |(_, root): &&(String, Digest)| *root != ledger.root();
            if let Some((whose, _)) = expected.iter().find(differs) {
                return Err(parted(location, whose, ledger.size()));
            }
        }
        let Some(line) = next_line(&mut lines)? else {
            break;
        };
        let number = ledger.size() + 1;
        let opened = open_line(&line, authority).and_then(|opened| {
            ledger.push(&opened.receipt, opened.leaf)?;
            Ok(opened)
        });
        match opened {
            Ok(opened) => replay.see(&opened.receipt),
            // What no checkpoint covers was under way when the process ended.
            Err(_) if number > copy.checkpoint.size => break,
            Err(fault) => {
                return Err(Failure::new(
                    fault.code(),
                    format!(
                        "line {number} of the receipts at location `{location}` does not hold: {fault}"
                    ),
                    "name another location with `--from`",
                ));
            }
        }
    }
    match roots.into_iter().next() {
        None => Ok(ledger.size()),
        Some((size, expected)) => {
            let whose = expected
                .first()
                .map(|(whose, _)| whose.as_str())
                .unwrap_or_default();
            Err(Failure::new(
                code::REBUILD_UNDECIDED,
                format!(
                    "the copy of the receipts at location `{location}` has {} lines, {whose} covers {size}",
                    ledger.size()
                ),
                "name another location with `--from`",
            ))
        }
    }
}

fn parted(location: &LocationId, whose: &str, size: u64) -> Failure {
    Failure::new(
        code::REBUILD_UNDECIDED,
        format!(
            "the copy of the receipts at location `{location}` and {whose} differ within the first {size} lines"
        ),
        "find out which of them is right, and name its location with `--from`; a state folder that differs has to be moved away first",
    )
}

/// Without any copy the log of the state folder is what there is.
fn replay_own(daemon: &Daemon, authority: &Authority, replay: &mut Replay) -> Result<(), Failure> {
    let mut at = 0;
    loop {
        let lines = daemon.store.receipts(at, PAGE as u64)?;
        if lines.is_empty() {
            return Ok(());
        }
        at += lines.len() as u64;
        for line in lines {
            if let Ok(Opened { receipt, .. }) = open_line(line.as_bytes(), authority) {
                replay.see(&receipt);
            }
        }
    }
}

/// What the locations show of every plan that policy or receipts name, under every key that is bound.
fn shown(
    daemon: &Daemon,
    replay: &Replay,
    model: Option<&Model>,
    not_listed: &mut BTreeMap<String, String>,
) -> Vec<Shown> {
    let mut plans = replay.plans.clone();
    plans.extend(model.iter().flat_map(|model| model.plans.keys().cloned()));
    let mut all = Vec::new();
    for plan in &plans {
        for kid in daemon.config.keys.keys() {
            let locations = daemon.config.locations.keys().cloned();
            let found = Access::new(daemon, plan, kid, locations)
                .and_then(|access| Ok((access.repository(), daemon.effects.snapshots(&access)?)));
            let (repository, found) = match found {
                Ok(found) => found,
                Err(failure) => {
                    not_listed.insert(format!("{plan}/{kid}"), failure.message);
                    continue;
                }
            };
            for (location, damaged) in &found.damaged {
                let why = damaged.join("; ");
                not_listed.insert(format!("{plan}/{kid} at {location}"), why);
            }
            all.extend(found.points.into_iter().filter_map(|(info, held)| {
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
                    repository: repository.clone(),
                    locations: held.into_iter().collect(),
                })
            }));
        }
    }
    all
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
    points: Vec<Run>,
    open: Vec<Operation>,
    rebuilt: &mut Rebuilt,
    now: Timestamp,
) -> Result<Vec<Change>, Failure> {
    let store = daemon.store.as_ref();
    let mut changes = Vec::new();
    let known = store.location_identities()?;
    let identities = replay.identities.values();
    let newer = identities.filter(|it| known.get(&it.location_id) != Some(it));
    changes.extend(newer.cloned().map(Change::LocationIdentity));
    for point in points {
        match store.point(&point.backup_id)? {
            None => {
                rebuilt.points.push(view(&point));
                changes.push(Change::RunEnded(Box::new(point)));
            }
            // The store knows more of it than receipts say; where it is was seen now.
            Some(kept) => {
                let changed = Run {
                    storage_locations: point.storage_locations,
                    verification: point.verification,
                    collapsed: kept
                        .collapsed
                        .into_iter()
                        .filter(|(id, _)| point.collapsed.contains_key(id))
                        .collect(),
                    ..kept
                };
                changes.push(Change::RunChanged(Box::new(changed)));
            }
        }
    }
    let recorded: BTreeSet<(PlanId, Timestamp)> = store
        .slots(None)?
        .into_iter()
        .map(|slot| (slot.plan_id, slot.last))
        .collect();
    let slots = replay.slots.iter();
    let new = slots.filter(|slot| !recorded.contains(&(slot.plan_id.clone(), slot.last)));
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

/// Takes over the lines that the store lacks, in their order.
fn take_over(
    daemon: &Daemon,
    authority: &Authority,
    incoming: &Path,
    places: Range<u64>,
) -> Result<(), Failure> {
    let mut lines = lines_of(incoming)?;
    let mut page = Vec::new();
    for position in 0..places.end {
        let Some(line) = next_line(&mut lines)? else {
            break;
        };
        if position < places.start {
            continue;
        }
        let opened = open_line(&line, authority);
        let at = opened
            .map_err(|fault| unreadable(&fault))?
            .receipt
            .created_at;
        let line = String::from_utf8(line).map_err(|error| unreadable(&error))?;
        page.push(ReceiptLine { position, line, at });
        if page.len() == PAGE {
            daemon.store.commit(&[], &page)?;
            page.clear();
        }
    }
    Ok(daemon.store.commit(&[], &page)?)
}

fn named(all: &BTreeMap<LocationId, String>) -> BTreeMap<String, String> {
    all.iter()
        .map(|(id, why)| (id.to_string(), why.clone()))
        .collect()
}

/// The receipt that says from what the log goes on.
fn told(daemon: &Daemon, rebuilt: &Rebuilt, copy: Option<&(Copy, Vec<Copy>)>) -> Draft {
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
    if let Some((copy, _)) = copy {
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
