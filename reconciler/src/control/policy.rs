//! Owns the way from published files to the bundle in force: fetch, open, accept, record. Never verifies anything itself and
//! never lets a refusal change what is in force. The interesting function is [`follow`].

use std::sync::Arc;

use contract::calendar::Zones;
use contract::code;
use contract::digest::Digest;
use contract::id::{DatasetId, PlanId};
use contract::model::Model;
use contract::receipt::{Bundle, DecisionType, Outcome, Phase};
use contract::seal::{
    self, Accepted, Expect, LastAccepted, Novelty, Pin, Refusal, Sealed, Standing, TrustRoot,
    Verified, Weakening,
};
use jiff::Timestamp;

use super::Daemon;
use super::effects::Effects;
use super::judged::{Judged, Question};
use crate::config::Config;
use crate::domain::{Change, Draft, ReceiptPolicy, StoredBundle};
use crate::doubt::{self, Clock, Witness};
use crate::failure::Failure;
use crate::operation::Subject;
use crate::plan::{self, ActivePolicy, own_plans};
use crate::world::cancel::Cancel;
use crate::world::git::Published;

/// The bundle in force, and what kept a newer one away.
#[derive(Debug)]
pub struct Followed {
    /// What planning reads.
    pub active: ActivePolicy,
    /// Its serial.
    pub serial: u64,
    /// SHA-256 of its statement's payload.
    pub payload: Digest,
    /// Identity of its input files.
    pub snapshot_hash: Digest,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// When it stops to be fresh.
    pub expires_at: Timestamp,
    /// The trust root that it was judged by.
    pub root: TrustRoot,
    /// What receipts say of it.
    pub receipts: ReceiptPolicy,
    /// Why the newest published files are not in force, or could not be looked at.
    pub problem: Option<Failure>,
    /// The commit that publishes it, where it was looked for.
    pub commit: Option<String>,
}

impl Followed {
    /// What the receipts of an operation of a plan have in common.
    pub fn subject(&self, plan_id: &PlanId) -> Subject {
        let policy = self.active.model.plans.get(plan_id);
        let datasets = policy.map(|policy| policy.dataset_ids.iter().cloned().collect());
        Subject {
            policy: self.receipts.clone(),
            plane: policy.map(|policy| policy.plane),
            plan_id: plan_id.clone(),
            dataset_ids: datasets.unwrap_or_default(),
        }
    }

    /// The same of one that takes, reads or restores some of the plan's datasets.
    pub fn subject_of<'d>(
        &self,
        plan_id: &PlanId,
        dataset_ids: impl IntoIterator<Item = &'d DatasetId>,
    ) -> Subject {
        Subject {
            dataset_ids: dataset_ids.into_iter().cloned().collect(),
            ..self.subject(plan_id)
        }
    }

    /// Whether the verdicts on the clock and on the bundle's age are still the same. They say how far anything may be followed, so
    /// that nothing is decided by older ones.
    pub fn holds_at(&self, newest_receipt: Option<Timestamp>, now: Timestamp) -> bool {
        let was_stale = self.active.standing == Standing::Stale;
        let is_past = now >= self.expires_at;
        let clock = self.clock_at(newest_receipt, now);
        clock == self.active.clock && was_stale == (is_past || clock.is_ahead())
    }

    fn clock_at(&self, newest_receipt: Option<Timestamp>, now: Timestamp) -> Clock {
        let witness = Witness {
            newest_receipt,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        };
        let plans: Vec<_> = own_plans(&self.active).map(|(_, policy)| policy).collect();
        let (model, zones) = (&self.active.model, &self.active.zones);
        doubt::judge(model, zones, &plans, &witness, now)
    }

    /// Judges the clock by what is signed. While it is in doubt, nothing destructive may follow from the bundle.
    fn judge_clock(&mut self, newest_receipt: Option<Timestamp>, now: Timestamp) {
        self.active.clock = self.clock_at(newest_receipt, now);
        if self.active.clock.is_ahead() {
            self.active.standing = Standing::Stale;
        }
    }
}

/// Verifies a root chain alone.
pub fn roots(config: &Config, chain: &[Vec<u8>]) -> Result<TrustRoot, Refusal> {
    let pin = Pin {
        root_sha256: config.trust.root_sha256,
    };
    seal::open_roots(chain, &pin)
}

/// Looks for newer policy and says what is in force now. The last good bundle stays in force whatever goes wrong.
pub fn follow(daemon: &Daemon, now: Timestamp) -> Result<Followed, Failure> {
    // Whatever is recorded on the way says what its clock is worth. A bundle that cannot be opened any more is told below, unless
    // what is published takes its place.
    if daemon.store.accepted()?.is_some() {
        let _ = active(daemon, now, None);
    }
    let found = daemon.effects.published(&daemon.config, None, &daemon.stop);
    consider_found(daemon, found, now)
}

/// The same for who follows already. While the branch shows the commit of the policy that is active, and the verdicts on the
/// clock and on its age hold, nothing is read or opened again.
pub fn follow_on(
    daemon: &Daemon,
    last: Option<Arc<Followed>>,
    now: Timestamp,
) -> Result<Arc<Followed>, Failure> {
    let newest = daemon.log().ledger().newest();
    let Some(last) = last.filter(|last| last.holds_at(newest, now)) else {
        return follow(daemon, now).map(Arc::new);
    };
    let known = last.commit.as_deref();
    match daemon
        .effects
        .published(&daemon.config, known, &daemon.stop)
    {
        Ok(None) => {
            // Another look at the policy may have judged the clock meanwhile.
            daemon.log().doubt_the_clock(last.active.clock.is_ahead());
            daemon.log().follow(last.receipts.clone());
            Ok(last)
        }
        found => consider_found(daemon, found, now).map(Arc::new),
    }
}

fn consider_found(
    daemon: &Daemon,
    found: Result<Option<Published>, Failure>,
    now: Timestamp,
) -> Result<Followed, Failure> {
    let (problem, commit) = match found {
        Err(failure) => (Some(failure), None),
        Ok(None) => (None, None),
        Ok(Some(published)) => match consider(daemon, &published, now)? {
            Some(refused) => (Some(refused), None),
            None => (None, Some(published.commit)),
        },
    };
    if let Some(failure) = &problem {
        tracing::warn!(event = "policy_not_followed", code = %failure.code, "{}", failure.message);
    }
    let followed = active(daemon, now, problem)?;
    Ok(Followed { commit, ..followed })
}

/// What is in force according to the store, without a look at git.
pub fn active(
    daemon: &Daemon,
    now: Timestamp,
    problem: Option<Failure>,
) -> Result<Followed, Failure> {
    let Some(stored) = daemon.store.accepted()? else {
        return Err(problem.unwrap_or_else(|| {
            Failure::new(
                code::NO_POLICY,
                "no bundle was ever accepted here",
                "run `seawalld once`, which fetches and accepts the published bundle",
            )
        }));
    };
    let newest = daemon.log().ledger().newest();
    let accepted = reopen(&daemon.config, &stored, now)?.doubting_the_clock(newest, now);
    let mut followed = followed(&daemon.config, &accepted, &stored, problem);
    followed.judge_clock(newest, now);
    daemon
        .log()
        .doubt_the_clock(followed.active.clock.is_ahead());
    daemon.log().follow(followed.receipts.clone());
    Ok(followed)
}

/// The newest published policy of a machine that has no store yet, verified by the pinned root.
pub fn published(config: &Config, effects: &dyn Effects, stop: &Cancel) -> Result<Model, Failure> {
    let found = effects.published(config, None, stop)?.ok_or_else(|| {
        let help = "publish a bundle for this environment first";
        Failure::new(code::NO_POLICY, "nothing is published", help)
    })?;
    let sealed = Sealed {
        root_chain: &found.roots,
        envelope: &found.envelope,
        bundle: &found.bundle,
        provenance: &found.provenance,
    };
    Ok(open(config, &sealed)?.get().model.clone())
}

/// What would be in force after a look for newer policy; records nothing.
pub fn peek(daemon: &Daemon, now: Timestamp) -> Result<Followed, Failure> {
    let stored = daemon.store.accepted()?;
    let found = daemon.effects.published(&daemon.config, None, &daemon.stop);
    let published = match found {
        Ok(Some(published)) => Ok(published),
        Ok(None) => return active(daemon, now, None),
        Err(failure) => Err(failure),
    };
    let problem = match published {
        Err(failure) => failure,
        Ok(published) => match peek_at(daemon, &published, stored.as_ref(), now) {
            Err(failure) => failure,
            Ok(accepted) => {
                let newest = daemon.log().ledger().newest();
                let accepted = accepted.doubting_the_clock(newest, now);
                let remember = accepted.remember();
                let accepted_at = match (accepted.novelty(), &stored) {
                    (Novelty::Same, Some(stored)) => stored.accepted_at,
                    (Novelty::First | Novelty::Next | Novelty::Same, _) => now,
                };
                let as_stored = StoredBundle {
                    serial: remember.serial,
                    payload: remember.payload,
                    root_version: remember.root_version,
                    accepted_at,
                    envelope: Vec::new(),
                    bundle: Vec::new(),
                    provenance: Vec::new(),
                    roots: Vec::new(),
                    plans: std::collections::BTreeSet::new(),
                    begins: std::collections::BTreeSet::new(),
                };
                let mut followed = followed(&daemon.config, &accepted, &as_stored, None);
                followed.judge_clock(newest, now);
                return Ok(followed);
            }
        },
    };
    active(daemon, now, Some(problem))
}

/// Judges what was not refused before; records nothing.
fn peek_at(
    daemon: &Daemon,
    published: &Published,
    stored: Option<&StoredBundle>,
    now: Timestamp,
) -> Result<Accepted, Failure> {
    let last = last_accepted(daemon, stored);
    let question = question(&daemon.config, published, last.as_ref());
    match Judged::read(&daemon.config.judged_path()).refusal(&question) {
        Some(refused) => Err(refused),
        None => Ok(judge(
            &daemon.config,
            published,
            stored,
            last.as_ref(),
            now,
        )?),
    }
}

/// What the verdict on published files depends on, but for the time.
fn question(config: &Config, published: &Published, last: Option<&LastAccepted>) -> Question {
    let baseline = last.map(|last| (last.serial.get(), last.payload, last.root_version));
    Question::new(&[
        &digest(published),
        &format!("{baseline:?}"),
        &config.trust.root_sha256,
        &config.environment,
        &config.reconciler_id,
    ])
}

fn sealed_of(stored: &StoredBundle) -> Sealed<'_> {
    Sealed {
        root_chain: &stored.roots,
        envelope: &stored.envelope,
        bundle: &stored.bundle,
        provenance: &stored.provenance,
    }
}

fn open(config: &Config, sealed: &Sealed<'_>) -> Result<Verified<seal::Bundle>, Refusal> {
    let pin = Pin {
        root_sha256: config.trust.root_sha256,
    };
    let expect = Expect {
        environment: &config.environment,
        reconciler_id: Some(&config.reconciler_id),
    };
    seal::open(sealed, &pin, &expect)
}

fn last(stored: &StoredBundle) -> LastAccepted {
    LastAccepted {
        serial: stored.serial,
        payload: stored.payload,
        root_version: stored.root_version,
    }
}

/// What was accepted last. A store that lost it has it from its receipts, so that no older bundle comes back.
fn last_accepted(daemon: &Daemon, stored: Option<&StoredBundle>) -> Option<LastAccepted> {
    stored.map(last).or_else(|| {
        let accepted = daemon.log().ledger().accepted()?;
        Some(LastAccepted {
            serial: accepted.serial,
            payload: accepted.payload,
            // Receipts do not say it; the pin and the chain hold.
            root_version: 0,
        })
    })
}

/// The store is not trusted either: what it holds is opened like anything else.
fn reopen(config: &Config, stored: &StoredBundle, now: Timestamp) -> Result<Accepted, Failure> {
    let verified = open(config, &sealed_of(stored))?;
    Ok(seal::reopen(verified, &last(stored), now)?)
}

/// Opens and accepts the published files, or records why not. The failure is a verdict on them, not on this process.
fn consider(
    daemon: &Daemon,
    published: &Published,
    now: Timestamp,
) -> Result<Option<Failure>, Failure> {
    let stored = daemon.store.accepted()?;
    let known = stored.as_ref().is_some_and(|stored| {
        stored.envelope == published.envelope
            && stored.bundle == published.bundle
            && stored.provenance == published.provenance
            && stored.roots == published.roots
    });
    if known {
        return Ok(None);
    }
    let last = last_accepted(daemon, stored.as_ref());
    let question = question(&daemon.config, published, last.as_ref());
    let mut judged = Judged::read(&daemon.config.judged_path());
    let refused = if let Some(refused) = judged.refusal(&question) {
        refused
    } else {
        // Kept before, too: what ends the process while it is judged must not end it in every round.
        judged.begin(&question);
        match judge(
            &daemon.config,
            published,
            stored.as_ref(),
            last.as_ref(),
            now,
        ) {
            Ok(accepted) => {
                record_acceptance(daemon, &accepted, published, stored.as_ref(), now)?;
                judged.forget();
                return Ok(None);
            }
            Err(refusal) if refusal.depends_on_time() => {
                judged.forget();
                Failure::from(refusal)
            }
            Err(refusal) => {
                let failure = Failure::from(refusal);
                judged.refuse(&question, &failure);
                failure
            }
        }
    };
    record_refusal(daemon, published, &refused, now)?;
    Ok(Some(refused))
}

fn judge(
    config: &Config,
    published: &Published,
    stored: Option<&StoredBundle>,
    last: Option<&LastAccepted>,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    let sealed = Sealed {
        root_chain: &published.roots,
        envelope: &published.envelope,
        bundle: &published.bundle,
        provenance: &published.provenance,
    };
    // Before it begins: whoever waits for it, and a test, sees what takes long.
    tracing::debug!(event = "bundle_judged", commit = %published.commit, "published bundle is judged");
    let verified = open(config, &sealed)?;
    let baseline = stored.map(|stored| open(config, &sealed_of(stored)));
    let weakening = |new: &Verified<seal::Bundle>| match &baseline {
        // A baseline that cannot be opened any more cannot be compared with: that counts as weakening.
        Some(Err(_)) | None => Weakening::Weaker(vec!["an unknown baseline".to_owned()]),
        Some(Ok(old)) => Weakening::between(&old.get().model, &new.get().model, &Zones::bundled()),
    };
    seal::accept(verified, last, weakening, now)
}

/// Identity of the published files.
fn digest(published: &Published) -> Digest {
    let mut all = Vec::new();
    for file in published.roots.iter().chain([
        &published.envelope,
        &published.bundle,
        &published.provenance,
    ]) {
        all.extend_from_slice(Digest::of(file).as_bytes());
    }
    Digest::of(&all)
}

fn record_acceptance(
    daemon: &Daemon,
    accepted: &Accepted,
    published: &Published,
    stored: Option<&StoredBundle>,
    now: Timestamp,
) -> Result<(), Failure> {
    let remember = accepted.remember();
    let mut bundle = StoredBundle {
        serial: remember.serial,
        payload: remember.payload,
        root_version: remember.root_version,
        accepted_at: now,
        envelope: published.envelope.clone(),
        bundle: published.bundle.clone(),
        provenance: published.provenance.clone(),
        roots: published.roots.clone(),
        plans: std::collections::BTreeSet::new(),
        begins: std::collections::BTreeSet::new(),
    };
    // Its root may list keys that earlier receipts were signed with.
    if let Ok(root) = roots(&daemon.config, &published.roots) {
        let config = &daemon.config;
        let keys = root.reconciler_keys(&config.environment, &config.reconciler_id);
        daemon.log().trust(keys);
    }
    let mut followed = followed(&daemon.config, accepted, &bundle, None);
    // A bundle that was signed a moment ago vouches for the time.
    followed.judge_clock(daemon.log().ledger().newest(), now);
    daemon
        .log()
        .doubt_the_clock(followed.active.clock.is_ahead());
    bundle.plans = own_plans(&followed.active)
        .map(|(id, _)| id.clone())
        .collect();
    if let Some(stored) = stored {
        let before = open(&daemon.config, &sealed_of(stored)).ok();
        let before = before.map(|before| before.get().model.clone());
        bundle.begins = plan::beginning(before.as_ref(), &followed.active);
    }
    if let (Novelty::Same, Some(stored)) = (accepted.novelty(), stored) {
        // Another signature or a newer root under the same statement: nothing was decided anew.
        bundle.accepted_at = stored.accepted_at;
        let changes = [Change::BundleAccepted(Box::new(bundle))];
        return daemon.commit(&changes, Vec::new(), now);
    }
    let statement = accepted.bundle().statement();
    let mut draft = Draft::new(
        DecisionType::BundleAccepted,
        Phase::Decision,
        &format!("bundle.{}", remember.serial.get()),
    );
    draft.result = Some(Outcome::Success);
    draft
        .details
        .insert("commit".to_owned(), published.commit.clone());
    draft
        .details
        .insert("expires_at".to_owned(), statement.expires_at.to_string());
    daemon.log().follow(followed.receipts.clone());
    tracing::info!(
        event = "bundle_accepted",
        serial = remember.serial.get(),
        "bundle accepted"
    );
    let changes = [Change::BundleAccepted(Box::new(bundle))];
    daemon.commit(&changes, vec![draft], now)
}

/// A refusal is told once for the same files and the same reason, not at every round.
fn record_refusal(
    daemon: &Daemon,
    published: &Published,
    failure: &Failure,
    now: Timestamp,
) -> Result<(), Failure> {
    let digest = digest(published);
    let code = failure.code.to_string();
    if daemon.store.last_refusal()? == Some((digest, code.clone())) {
        return Ok(());
    }
    let mut draft = Draft::new(
        DecisionType::BundleRefused,
        Phase::Decision,
        &format!("bundle.refused.{}", digest.short()),
    );
    draft.result = Some(Outcome::Failure);
    draft.error = Some(failure.note());
    draft.evidence.insert("published_files".to_owned(), digest);
    draft
        .details
        .insert("commit".to_owned(), published.commit.clone());
    let changes = [Change::BundleRefused {
        digest,
        code,
        at: now,
    }];
    daemon.commit(&changes, vec![draft], now)
}

fn followed(
    config: &Config,
    accepted: &Accepted,
    stored: &StoredBundle,
    problem: Option<Failure>,
) -> Followed {
    let verified = accepted.bundle();
    let statement = verified.statement();
    Followed {
        active: ActivePolicy {
            model: verified.get().model.clone(),
            standing: accepted.standing(),
            clock: Clock::Plausible,
            reconciler_id: config.reconciler_id.clone(),
            zones: Zones::bundled(),
        },
        serial: stored.serial.get(),
        payload: stored.payload,
        snapshot_hash: statement.policy_snapshot_hash,
        accepted_at: stored.accepted_at,
        issued_at: statement.issued_at,
        expires_at: statement.expires_at,
        root: verified.root().clone(),
        receipts: ReceiptPolicy {
            bundle: Some(Bundle {
                serial: statement.serial,
                payload: stored.payload,
            }),
            snapshot_hash: Some(statement.policy_snapshot_hash),
            version_ids: statement.policy_version_ids.clone(),
        },
        problem,
        commit: None,
    }
}
