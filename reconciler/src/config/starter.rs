//! Owns the first configuration of a machine: what a policy has for a reconciler, each id with the bindings that fit it, and a
//! placeholder wherever only a person knows the value. The interesting function is [`starter`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use contract::hidden::one_line;
use contract::id::{DatasetId, Kid, LocationId, ReconcilerId};
use contract::model::{BackupPlan, Dataset, Medium, Model};

use super::places::PLACEHOLDER;
use crate::world::connector::{self, Kind};

/// What the person who asks knows already.
#[derive(Debug, Clone)]
pub struct Known {
    /// The reconciler.
    pub reconciler: ReconcilerId,
    /// The environment.
    pub environment: String,
    /// The repository with the published bundles.
    pub url: String,
    /// Its branch.
    pub branch: String,
    /// The folder in it.
    pub folder: Option<String>,
    /// How the repository is opened: the lines of `git.credentials` or `git.ssh`.
    pub access: Option<String>,
    /// The pin of the trust root.
    pub root_sha256: String,
    /// The state folder.
    pub state: String,
}

/// The configuration as YAML with comments. It does not start a daemon until every placeholder is filled in.
pub fn starter(model: &Model, known: &Known) -> String {
    let mut text = head(known);
    let plans = plans(model, &known.reconciler);
    let locations: BTreeSet<&LocationId> = plans.iter().flat_map(|plan| &plan.locations).collect();
    let _ = writeln!(
        text,
        "\n# Where recovery points go: an existing folder for each, mounted from storage with the fault domains that policy states,\n# or `s3:` with `endpoint`, `region`, `bucket` and `credentials`; `seawalld config schema` and the manual list the fields.\nlocations:"
    );
    for id in &locations {
        location(&mut text, model, id);
    }
    let keys: BTreeSet<&Kid> = plans.iter().map(|plan| &plan.encryption_key_ref).collect();
    let _ = writeln!(
        text,
        "\n# Where the password of each repository comes from: `file:`, `env:` with a variable, or `command:` with a list. The password\n# opens every recovery point, and without it none can be read: keep a copy outside this machine.\nkeys:"
    );
    for kid in &keys {
        let _ = writeln!(
            text,
            "  {kid}:\n    file: {PLACEHOLDER} # mode 0600, owned by the daemon's user"
        );
    }
    let datasets: BTreeSet<&DatasetId> = plans.iter().flat_map(|plan| &plan.dataset_ids).collect();
    let _ = writeln!(text, "\n# Where the live data are.\ndatasets:");
    for id in &datasets {
        if let Some(it) = model.datasets.get(*id) {
            dataset(&mut text, model, id, it);
        }
    }
    channels(&mut text, model);
    for (what, is_empty) in [
        ("locations", locations.is_empty()),
        ("keys", keys.is_empty()),
        ("datasets", datasets.is_empty()),
    ] {
        if is_empty {
            text = text.replace(&format!("\n{what}:\n"), &format!("\n{what}: {{}}\n"));
        }
    }
    text
}

/// What the commonest ways to open a repository need.
const ACCESS: &str =
    "  # credentials: { username: seawalld, password_file: /etc/seawall/git-token } # for https://
  # ssh: { key: /etc/seawall/git-key }                                        # for ssh://";

/// A text as YAML, whatever is in it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn head(known: &Known) -> String {
    let Known {
        reconciler,
        environment,
        url,
        branch,
        folder,
        access,
        root_sha256,
        state,
    } = known;
    let folder = folder.as_ref();
    let folder = folder.map(|folder| format!("  path: {}\n", quoted(folder)));
    let folder = folder.unwrap_or_default();
    let (url, branch, state) = (quoted(url), quoted(branch), quoted(state));
    let access = access.clone().unwrap_or_else(|| ACCESS.to_owned());
    format!(
        "# The configuration of seawalld: what policy must not know. `{PLACEHOLDER}` marks what only you know.
# Fill it in, then run `seawalld config check`, then `seawalld doctor`. All fields: docs/operate.md.
reconciler_id: {reconciler}
environment: {environment}

# How often the published policy is fetched. A webhook (`tcp.webhook_secret_file`) makes it immediate.
interval: PT1M

git:
  url: {url}
  branch: {branch}
{folder}  deadline: PT30S # a fetch that takes longer is ended
{access}

trust:
  root_sha256: {root_sha256} # the pin that `seawall trust init` printed

# The store, the receipt log and the spool, on a local disk: room for the largest database that is dumped or restored.
state: {state}

# Signs receipts. Make it with `seawall keys generate`; the trust root lists its public half in the role `reconciler`.
receipt_key: {PLACEHOLDER}

# Metrics, health checks and the webhook on TCP; without it only the Unix socket in the state folder answers.
# tcp:
#   listen: 127.0.0.1:8437
#   read_token_file: /etc/seawall/read-token
#   webhook_secret_file: /etc/seawall/webhook-secret
"
    )
}

/// The plans that this reconciler carries out: those of its sites' datasets.
fn plans<'m>(model: &'m Model, reconciler: &ReconcilerId) -> Vec<&'m BackupPlan> {
    let is_ours = |id: &DatasetId| {
        let dataset = model.datasets.get(id);
        let site = dataset.and_then(|dataset| model.settings.sites.get(&dataset.site));
        site.is_some_and(|site| site.reconciler_id == *reconciler)
    };
    let plans = model.plans.values();
    plans
        .filter(|plan| plan.dataset_ids.iter().all(is_ours))
        .collect()
}

fn location(text: &mut String, model: &Model, id: &LocationId) {
    if let Some(it) = model.settings.locations.get(id) {
        let domains = &it.fault_domains;
        let locked = if it.immutable {
            ", refuses deletes"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  # {} in {}: provider {}, region {}, zone {}, account {}{locked}",
            crate::words::bytes(it.capacity_bytes),
            it.residency,
            domains.provider,
            domains.region,
            domains.zone,
            domains.account,
        );
    }
    let _ = writeln!(text, "  {id}:\n    path: {PLACEHOLDER}");
}

/// The channels of the policy's escalations, each with the kinds of binding that fit.
fn channels(text: &mut String, model: &Model) {
    let used = model.settings.notified_channels();
    if used.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n# Where alerts go. Where another system delivers them, such as Alertmanager, `external` names it.\nchannels:"
    );
    for id in used {
        let Some(channel) = model.settings.channels.get(id) else {
            continue;
        };
        let name = one_line(&channel.name);
        let _ = writeln!(text, "  # {name}: {}\n  {id}:", channel.medium.as_str());
        let lines: &[&str] = match channel.medium {
            Medium::Mail => &[
                "mail:",
                "  host: TODO",
                "  from: TODO # such as `Seawall <seawall@example.org>`",
                "  to: [TODO]",
                "  # username: seawall",
                "  # password_file: /etc/seawall/mail-password",
            ],
            Medium::Chat => &["slack: { url_file: TODO } # holds the URL of an incoming webhook"],
            Medium::Paging => {
                &["pagerduty: { routing_key_file: TODO } # of an Events API v2 integration"]
            }
            Medium::Webhook => &["webhook: { url: TODO } # `secret_file` signs what is sent"],
        };
        for line in lines {
            let _ = writeln!(text, "    {line}");
        }
        if channel.medium != Medium::Webhook {
            let _ = writeln!(text, "    # webhook: {{ url: TODO }}");
        }
    }
}

fn dataset(text: &mut String, model: &Model, id: &DatasetId, dataset: &Dataset) {
    let required = model
        .settings
        .connectors
        .get(&dataset.connector)
        .map(|connector| &connector.capabilities);
    let fits = |kind: Kind| {
        let declared = connector::capabilities(kind).declared();
        required.is_none_or(|required| required.is_subset(&declared))
    };
    // A database that is bound as files may not open after a restore, whatever else fits.
    let named = Kind::ALL
        .into_iter()
        .find(|kind| kind.to_string() == dataset.store_type);
    let fitting = Kind::ALL.into_iter().filter(|kind| fits(*kind));
    let fitting: Vec<Kind> = match named {
        Some(kind) => vec![kind],
        None => fitting.collect(),
    };
    let _ = writeln!(
        text,
        "  # {}: {}, {}",
        one_line(&dataset.name),
        dataset.store_type,
        crate::words::bytes(dataset.sizing.size_bytes)
    );
    let Some((first, others)) = fitting.split_first() else {
        let _ = writeln!(
            text,
            "  # No connector of this version does what policy relies on for `{id}`: change the policy, or leave it unbound.\n  # {id}: {{}}"
        );
        return;
    };
    if !fits(*first) {
        let _ = writeln!(
            text,
            "  # `{first}` does less than policy relies on for `{id}`: `seawalld doctor` says what, and its plan waits until policy asks for less."
        );
    }
    let _ = writeln!(text, "  {id}:\n{}", bound(*first, "    "));
    for other in others {
        let _ = writeln!(text, "{}", bound(*other, "    # "));
    }
}

/// The fields that a binding needs, and those that most installations want.
fn bound(kind: Kind, before: &str) -> String {
    let lines: &[&str] = match kind {
        Kind::Files => &[
            "files:",
            "  path: TODO",
            "  # exclude: ['*.tmp', 'cache']",
            "  # run_as: owner-of-the-data",
        ],
        Kind::Jsonl => &["jsonl:", "  path: TODO", "  # rotates: true"],
        Kind::Sqlite => &["sqlite:", "  path: TODO"],
        Kind::Postgres => &[
            "postgres:",
            "  host: TODO # a name, an address, or the folder of the Unix socket",
            "  port: 5432",
            "  database: TODO",
            "  user: TODO # a role that may read everything and no superuser: docs/postgresql.md",
            "  # password_file: /etc/seawall/database-password",
            "  # restore_user: a role with CREATEDB",
        ],
    };
    let lines: Vec<String> = lines.iter().map(|line| format!("{before}{line}")).collect();
    lines.join("\n")
}
