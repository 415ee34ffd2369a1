//! Owns `seawall alerts`: Prometheus alert rules, their unit tests and a Grafana dashboard from the policy's alert policies. What
//! they say is decided in `alerts`.

use std::path::PathBuf;

use clap::Args;
use contract::code;
use contract::id::EnvironmentId;
use serde::Serialize;

use super::failure::Failure;
use super::{compiled, environment};
use crate::alerts::{self, NoWindow};
use crate::diagnostic::has_errors;
use crate::world::files::{self, Mode};
use crate::world::terminal::{Stream, print};

const RULES: &str = "seawall.rules.yaml";
const TESTS: &str = "seawall.rules.test.yaml";
const DASHBOARD: &str = "seawall.dashboard.json";

/// For Grafana's import or its provisioning; it asks for the Prometheus data source.
const DASHBOARD_TEXT: &str = include_str!("../alerts/dashboard.json");

const NOTES: &str = "\
Without --out the rules go to standard output. With it three files are written:

  seawall.rules.yaml        for `rule_files` of Prometheus
  seawall.rules.test.yaml   unit tests of these rules: promtool test rules seawall.rules.test.yaml
  seawall.dashboard.json    a dashboard for Grafana

The thresholds are those of the AlertPolicy documents. An alert that fires names the code whose page says what to do, and the
escalation that policy requires; Alertmanager routes by the labels `severity` and `alert_policy`.

Exit status: 0 written; 1 the policy has findings, or a share is watched over no window; 2 wrong usage; 4 files.";

#[derive(Args)]
#[command(after_help = NOTES)]
pub struct Alerts {
    /// Folder of the policy tree
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// The environment
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: EnvironmentId,
    /// Folder to write the files to; existing ones are replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Alerts {
    pub fn run(self) -> Result<(), Failure> {
        let (_, compilation) = compiled::tree(&self.folder, &self.environment)?;
        if has_errors(&compilation.diagnostics) {
            super::failure::tell(compilation.diagnostics);
            return Err(Failure::Told);
        }
        let Some(model) = compilation.model else {
            return Err(Failure::Told);
        };
        let rules = yaml(&alerts::rules(&model).map_err(unbounded)?)?;
        let Some(out) = self.out else {
            print(Stream::Out, &rules);
            return Ok(());
        };
        let tests = yaml(&alerts::tests_of(&model, RULES).map_err(unbounded)?)?;
        for (name, text) in [
            (RULES, rules.as_str()),
            (TESTS, tests.as_str()),
            (DASHBOARD, DASHBOARD_TEXT),
        ] {
            let path = out.join(name);
            files::write(&path, text.as_bytes(), Mode::Public)
                .map_err(|error| Failure::unwritable(&path, &error))?;
            print(Stream::Err, &format!("wrote {}\n", path.display()));
        }
        Ok(())
    }
}

fn yaml<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|error| {
        Failure::failed(
            code::PUBLISH_FAILED,
            format!("the rules cannot be written as YAML: {error}"),
            "report this as a bug",
        )
    })
}

fn unbounded(fault: NoWindow) -> Failure {
    let watch = fault.watch.as_str();
    Failure::failed(
        code::MISSING_FIELD,
        format!(
            "alert policy `{}` watches `{watch}` and has no `window`",
            fault.alert_id
        ),
        "add the time over which it is counted, such as `window: P30D`",
    )
}
