//! Owns the shell around the pure core: it fetches, looks, asks [`crate::plan`] and [`crate::review`], executes and records.
//! Never decides about policy. The interesting function is [`round::round`].
#![expect(
    clippy::disallowed_methods,
    reason = "shell: this is where what was planned is carried out"
)]

pub mod care;
pub mod child;
pub mod doctor;
pub mod execute;
pub mod look;
pub mod operate;
pub mod policy;
mod queue;
pub mod recover;
pub mod restore;
pub mod round;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::id::{EnvironmentId, Kid, LocationId, PlanId};
use contract::receipt::{Authority, Origin};
use contract::seal::PublicKey;
use jiff::Timestamp;

use crate::config::Config;
use crate::failure::Failure;
use crate::store::{Change, Store as _};
use crate::world::clock;
use crate::world::keys;
use crate::world::receipts::{self, Draft, ReceiptLog};
use crate::world::store_sqlite::SqliteStore;
use crate::world::vault::{Place, RepositoryName, Vault};

/// Says that the process shall end; effects are stopped, nothing new begins.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks everything to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether that was asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// One process: its configuration, the store it holds alone, and the receipt log.
#[derive(Debug)]
pub struct Daemon {
    /// The configuration.
    pub config: Config,
    /// The state.
    pub store: SqliteStore,
    /// The receipts; whoever holds them commits.
    log: Mutex<ReceiptLog>,
    /// Whether to end.
    pub stop: Stop,
}

impl Daemon {
    /// Takes the store's lock and reads the receipt log back.
    pub fn open(config: Config, stop: Stop) -> Result<Self, Failure> {
        let store = SqliteStore::open(&config.store_path())?;
        let daemon = Self::over(config, store, stop)?;
        // Only who holds the lock can compare: beside a running daemon the copies may be newer than what was just read.
        daemon.nothing_was_lost()?;
        Ok(daemon)
    }

    /// For commands that only read: works beside a running daemon, and records nothing.
    pub fn open_read_only(config: Config) -> Result<Self, Failure> {
        let store = SqliteStore::open_read_only(&config.store_path())?;
        Self::over(config, store, Stop::default())
    }

    fn over(config: Config, store: SqliteStore, stop: Stop) -> Result<Self, Failure> {
        let key = receipts::read_key(&config.receipt_key)?;
        let mut keys: Vec<PublicKey> = vec![key.public()];
        // Lines of an earlier receipt key hold by the trust root that was accepted with them.
        if let Some(bundle) = store.accepted()?
            && let Ok(root) = policy::roots(&config, &bundle.roots)
        {
            keys.extend(root.reconciler_keys(&config.environment, &config.reconciler_id));
        }
        let authority = Authority {
            origin: Origin {
                environment: config.environment.clone(),
                reconciler_id: config.reconciler_id.clone(),
            },
            keys,
        };
        let log = ReceiptLog::open(&store, key, authority)?;
        Ok(Self {
            config,
            store,
            log: Mutex::new(log),
            stop,
        })
    }

    /// The receipt log. A poisoned lock only means that a thread panicked between two commits; the log itself is whole.
    pub fn log(&self) -> MutexGuard<'_, ReceiptLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records changes and receipts in one transaction.
    pub fn commit(
        &self,
        changes: &[Change],
        drafts: Vec<Draft>,
        at: Timestamp,
    ) -> Result<(), Failure> {
        Ok(self.log().commit(&self.store, changes, drafts, at)?)
    }

    /// An instant later than every effect so far, so that ids that are derived from it are new. Waits a second at most.
    pub fn fresh_now(&self) -> Result<Timestamp, Failure> {
        const TICK: Duration = Duration::from_millis(20);
        let newest = self
            .store
            .executions()?
            .into_iter()
            .map(|execution| execution.started_at)
            .max();
        for _ in 0..55 {
            let now = clock::now();
            // A clock that was set back is no reason to wait: it is told as a condition.
            if newest.is_none_or(|newest| newest < now || newest.duration_since(now).as_secs() > 1)
            {
                return Ok(now);
            }
            std::thread::sleep(TICK);
        }
        Ok(clock::now())
    }

    /// A log that is shorter than one of its copies has lost its end, and with it what must not be done twice.
    fn nothing_was_lost(&self) -> Result<(), Failure> {
        let log = self.log();
        let ours = log.ledger().size();
        for folder in self.receipt_folders().into_values() {
            if let Some(found) = receipts::newest_copy(&folder, log.authority())
                && found > ours
            {
                return Err(Failure::from(receipts::CopyError::Ahead {
                    folder: folder.display().to_string(),
                    found,
                    ours,
                }));
            }
        }
        Ok(())
    }

    /// Where copies of the receipt log go: a folder of each location.
    pub fn receipt_folders(&self) -> BTreeMap<LocationId, PathBuf> {
        self.config
            .locations
            .iter()
            .map(|(id, location)| {
                let folder = location
                    .path
                    .join(self.config.environment.as_str())
                    .join("receipts")
                    .join(self.config.reconciler_id.as_str());
                (id.clone(), folder)
            })
            .collect()
    }
}

/// What opens the repository of one plan and key.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The environment.
    pub environment: EnvironmentId,
    /// The plan.
    pub plan: PlanId,
    /// The key's id.
    pub kid: Kid,
    /// Where its locations are.
    pub places: BTreeMap<LocationId, Place>,
    /// The key's bytes.
    pub key: Vec<u8>,
}

impl Access {
    /// Reads the key and binds the plan's locations.
    pub fn new(
        config: &Config,
        plan: &PlanId,
        kid: &Kid,
        locations: impl IntoIterator<Item = LocationId>,
    ) -> Result<Self, Failure> {
        let source = config.keys.get(kid).ok_or_else(|| {
            Failure::new(
                contract::code::PLAN_UNBOUND,
                format!("key `{kid}` is not bound"),
                format!("bind it under `keys.{kid}`"),
            )
        })?;
        let places = locations
            .into_iter()
            .filter_map(|id| {
                let location = config.locations.get(&id)?;
                Some((id, Place::Folder(location.path.clone())))
            })
            .collect();
        Ok(Self {
            environment: config.environment.clone(),
            plan: plan.clone(),
            kid: kid.clone(),
            places,
            key: keys::load(kid, source)?,
        })
    }

    /// The vault behind it.
    pub fn vault(&self) -> Result<Vault, Failure> {
        let name = RepositoryName {
            environment: self.environment.clone(),
            plan: self.plan.clone(),
            kid: self.kid.clone(),
        };
        Ok(Vault::new(&name, self.places.clone(), &self.key)?)
    }

    /// `<environment>/<plan_id>/<kid>`.
    pub fn repository(&self) -> String {
        format!("{}/{}/{}", self.environment, self.plan, self.kid)
    }
}
