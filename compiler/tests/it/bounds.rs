//! The bounds of a run: whatever stands in a pull request, `seawall` ends within half a minute and 2 GiB, with a code, and never by
//! a panic or a signal. Trees that a few lines make large, rules that no limit of the engine reaches, and the process that
//! watches over both.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use tempfile::TempDir;

use crate::hostile::{children, memory, rules, tree};
use crate::repository::AT;

/// What is promised.
const MEMORY: u64 = 2 << 30;
const TIME: Duration = Duration::from_secs(30);

/// How a run ended.
struct Ran {
    status: Option<i32>,
    text: String,
    peak: u64,
    took: Duration,
}

fn seawall(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("seawall"));
    command.env_clear().env("COLUMNS", "140").args(arguments);
    command.stdin(Stdio::null());
    command
}

/// Runs to the end; what it says goes to one file, for a pipe that nobody reads would hold it up.
fn run(mut command: Command) -> Ran {
    let told = tempfile::tempdir().unwrap();
    let path = told.path().join("told");
    let file = File::create(&path).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(memory(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < 9 * TIME, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    };
    Ran {
        status: status.code(),
        text: fs::read_to_string(path).unwrap(),
        peak,
        took: started.elapsed(),
    }
}

impl Ran {
    fn shown(&self) -> String {
        self.text.chars().take(2_000).collect()
    }

    /// What holds however it ends.
    fn is_bounded(&self) {
        assert!(
            matches!(self.status, Some(0 | 1 | 4)),
            "{:?}: {}",
            self.status,
            self.shown()
        );
        assert!(self.peak < MEMORY, "{} MiB", self.peak >> 20);
        if self.status != Some(0) {
            assert!(self.text.contains("error["), "{}", self.shown());
        }
    }

    fn told(&self, code: &str, words: &str) {
        self.is_bounded();
        assert!(self.took < TIME, "{:?}", self.took);
        let is_line =
            |line: &str| line.starts_with(&format!("error[{code}]")) && line.contains(words);
        assert!(
            self.text.lines().any(is_line),
            "no {code} `{words}` in {}",
            self.shown()
        );
    }
}

/// Proofs that end by themselves: on a machine that does other things beside, they may take longer than the program gives them.
fn patient(mut command: Command) -> Ran {
    command.env("SEAWALL_TIME_LIMIT", "250");
    run(command)
}

fn check(folder: &Path, more: &[&str]) -> Command {
    let folder = folder.to_str().unwrap();
    seawall(&[&["check", folder, "--at", AT][..], more].concat())
}

fn dataset(id: &str, store: &str, derived_from: &[String]) -> String {
    let (eligibility, sources) = match derived_from {
        [] => ("backed_up", String::new()),
        some => (
            "reconstructed",
            format!("derived_from: [{}]\n", some.join(", ")),
        ),
    };
    format!(
        "---\nkind: Dataset\ndataset_id: {id}\nname: {id}\nplane: product_cloud\nsite: main\nstore_type: {store}\n\
         criticality: tier2\ndata_classification: internal\nresidency: [eu]\nrpo: gsmd:objectives/working/rpo\n\
         rto: gsmd:objectives/working/rto\neligibility: {eligibility}\n{sources}\
         sizing: {{ size: 10GiB, change_per_day: 1GiB }}\nconnector: files\n"
    )
}

fn plan(id: &str, of: &str, schedule: &str, retention: &str, key: &str) -> String {
    format!(
        "---\nkind: BackupPlan\nplan_id: {id}\nname: {id}\n{of}\nplane: product_cloud\n\
         backup_frequency: gsmd:schedules/{schedule}\nretention: gsmd:retention/{retention}\nstorage_profiles: [both]\n\
         redundancy_profile: two_regions\nencryption_key_ref: kid:{key}\n\
         verification: {{ checksum_required: true, periodic_restore_test_required: false }}\n"
    )
}

fn one_plan(number: usize, schedule: &str, retention: &str) -> String {
    let id = format!("ds_{number:04}");
    let of = format!("dataset_ids: [{id}]");
    dataset(&id, "files", &[])
        + &plan(
            &format!("bp_{number:04}"),
            &of,
            schedule,
            retention,
            "backup-01",
        )
}

/// Two datasets a layer, each rebuilt from both of the next; the last layer is that of the smallest tree.
fn diamond() -> String {
    let layers = 60;
    let name = |layer: usize, one: usize| {
        if layer == layers {
            "ds_documents".to_owned()
        } else {
            format!("ds_{layer:02}_{one}")
        }
    };
    let all = (0..layers).flat_map(|layer| [(layer, 0), (layer, 1)]);
    let next = |layer: usize| {
        let mut next = vec![name(layer + 1, 0), name(layer + 1, 1)];
        next.dedup();
        next
    };
    all.map(|(layer, one)| dataset(&name(layer, one), "files", &next(layer)))
        .collect()
}

fn chain(length: usize) -> String {
    let links = (0..length).map(|number| {
        let next = if number + 1 == length {
            "ds_documents".to_owned()
        } else {
            format!("ds_{:04}", number + 1)
        };
        dataset(&format!("ds_{number:04}"), "files", &[next])
    });
    links.collect()
}

/// Each rebuilt from all of the next layer.
fn layers(width: usize, depth: usize) -> String {
    let layer = |number: usize| -> Vec<String> {
        (0..width)
            .map(|one| format!("ds_{number:03}_{one:03}"))
            .collect()
    };
    let mut text = String::new();
    for number in 0..depth {
        let next = if number + 1 == depth {
            vec!["ds_documents".to_owned()]
        } else {
            layer(number + 1)
        };
        text.extend(layer(number).iter().map(|id| dataset(id, "files", &next)));
    }
    text
}

/// Each key is kept in a dataset that the next key seals.
fn keys(depth: usize) -> String {
    let mut text = String::new();
    for number in 0..depth {
        let kept_in = if number + 1 == depth {
            String::new()
        } else {
            format!("kept_in: ds_{:04}\n", number + 1)
        };
        write!(
            text,
            "---\nkind: Key\nkid: k{number:04}\ncustody: host:offline-safe\n{kept_in}not_after: 2032-01-01T00:00:00Z\nrotation_period: P365D\n"
        )
        .unwrap();
        let id = format!("ds_{number:04}");
        text += &dataset(&id, "files", &[]);
        let of = format!("dataset_ids: [{id}]");
        text += &plan(
            &format!("bp_{number:04}"),
            &of,
            "hourly",
            "month",
            &format!("k{number:04}"),
        );
    }
    text
}

fn environments() -> String {
    let plans = (0..300).map(|number| one_plan(number, "hourly", "month"));
    let environments = (0..900).map(|number| {
        format!("---\nkind: Environment\nenvironment_id: env{number:03}\nproduction: false\nplanes: [product_cloud]\nbundle_validity: P30D\noverrides: []\n")
    });
    plans.chain(environments).collect()
}

fn schedules() -> String {
    let all = (0..400).map(|number| {
        let (minute, hour) = (number % 20, number / 20);
        // Each minute but one, each hour but one.
        let minutes = if minute == 0 { "1-59".to_owned() } else { format!("0-{},{}-59", minute - 1, minute + 1) };
        let hours = if hour == 0 { "1-23".to_owned() } else { format!("0-{},{}-23", hour - 1, hour + 1) };
        let schedule = format!(
            "---\nkind: Schedule\nschedule_id: s{number:03}\ncron: \"{minutes} {hours} * * *\"\ntimezone: Europe/Berlin\nstart_window: PT10S\ncompletion_window: PT50S\ntolerated_misses: 0\n"
        );
        schedule + &one_plan(number, &format!("s{number:03}"), "month")
    });
    all.collect()
}

fn million_points() -> String {
    let all = (0..300).map(|number| {
        let class = format!(
            "---\nkind: RetentionClass\nretention_id: r{number:03}\nmin_versions: 3\nmin_duration: P7D\nkeep: {{ last: {}, hourly: 24, daily: 30, weekly: 0, monthly: 0, yearly: 0 }}\nmax_duration: none\nimmutable_for: PT0S\n",
            1_000_000 + number
        );
        class + &one_plan(number, "minutely", &format!("r{number:03}"))
    });
    let schedule = "---\nkind: Schedule\nschedule_id: minutely\nevery: PT1M\nstart_window: PT10S\ncompletion_window: PT50S\ntolerated_misses: 0\n";
    std::iter::once(schedule.to_owned()).chain(all).collect()
}

fn for_each(is_alike: bool) -> String {
    let datasets = (0..2_000).map(|number| {
        let store = if is_alike {
            "files".to_owned()
        } else {
            format!("files_{}", number % 500)
        };
        dataset(&format!("ds_{number:04}"), &store, &[])
    });
    let plans = (0..300).map(|number| {
        plan(
            &format!("bp_{number:03}"),
            "for_each: { plane: product_cloud }",
            "hourly",
            "month",
            "backup-01",
        )
    });
    datasets.chain(plans).collect()
}

fn long_runbook(steps: usize) -> String {
    let mut text = "---\nkind: Scenario\nscenario_id: long\nname: Long\ntrigger: region_loss\nlosses: [region:west]\ndetected_within: PT1H\nstrategy: backup_and_restore\nobjective: gsmd:objectives/working\ndatasets: [ds_documents]\nprerequisites: [An incident is declared]\npersonnel: [operator]\nfailback: None is needed\ndrill_target: isolated\nrunbook:\n".to_owned();
    for number in 0..steps {
        let waits = if number == 0 {
            String::new()
        } else {
            format!(", depends_on: [s{}]", number - 1)
        };
        writeln!(text, "  - {{ step: s{number}, title: t, action: restore, dataset: ds_documents{waits}, deadline: PT1M, idempotent: true }}").unwrap();
    }
    text
}

/// Datasets that are all rebuilt from each other.
fn all_from_all(number: usize) -> String {
    let id = |one: usize| format!("ds_{one:03}");
    let others = |one: usize| {
        (0..number)
            .filter(|other| *other != one)
            .map(id)
            .collect::<Vec<_>>()
    };
    (0..number)
        .map(|one| dataset(&id(one), "files", &others(one)))
        .collect()
}

#[rstest]
#[case::derived_diamond_of_60_layers(diamond())]
#[case::derived_chain(chain(3_000))]
#[case::derived_layers(layers(40, 20))]
#[case::keys_under_keys(keys(100))]
fn what_is_long_or_wide_is_proven(#[case] text: String) {
    let folder = tree();
    fs::write(folder.path().join("x.yaml"), text).unwrap();
    // Its proofs are told, whatever the rules find.
    let ran = patient(check(folder.path(), &["--env", "dev"]));
    ran.is_bounded();
    assert!(!ran.text.contains("SW054"), "{}", ran.shown());
    assert!(!ran.text.contains("SW0401"), "{}", ran.shown());
    let ran = patient(seawall(&[
        "prove",
        folder.path().to_str().unwrap(),
        "--env",
        "dev",
    ]));
    ran.is_bounded();
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
}

#[rstest]
#[case::environments(environments(), "SW0116", "the tree declares 902 environments")]
#[case::schedules_every_minute(
    schedules(),
    "SW0116",
    "the proofs would look at more than 200000000 slots"
)]
#[case::a_million_points(
    million_points(),
    "SW0116",
    "the proofs would look at more than 200000000 slots"
)]
#[case::for_each_of_alike(for_each(true), "SW0116", "make more than 100000 plans")]
#[case::for_each_of_different(for_each(false), "SW0116", "make more than 100000 plans")]
#[case::long_runbook(long_runbook(8_000), "SW0116", "has 8000 steps")]
#[case::all_rebuilt_from_all(all_from_all(300), "SW0204", "is rebuilt from itself")]
fn what_a_few_lines_make_large_is_refused(
    #[case] text: String,
    #[case] code: &str,
    #[case] words: &str,
) {
    let folder = tree();
    fs::write(folder.path().join("x.yaml"), text).unwrap();
    let ran = run(check(folder.path(), &[]));
    ran.told(code, words);
    assert!(
        ran.text.contains("x.yaml:"),
        "it names no line: {}",
        ran.shown()
    );
    // What refuses a check refuses the bundle, too.
    if code == "SW0116" && !words.contains("environments") {
        let folder = folder.path().to_str().unwrap();
        run(seawall(&["prove", folder, "--env", "dev"])).told(code, words);
    }
}

/// So does a comparison, which has no line to show.
#[test]
fn a_diff_of_too_many_environments_is_refused() {
    let folder = tree();
    fs::write(folder.path().join("x.yaml"), environments()).unwrap();
    let folder = folder.path().to_str().unwrap();
    run(seawall(&["diff", folder, folder])).told("SW0116", "the tree declares 902 environments");
}

/// Plans that share a profile of 24 locations, each in a region of its own.
fn many_locations() -> String {
    let mut text = String::new();
    let mut names = Vec::new();
    for number in 0..24 {
        let domains = format!(
            "{{ provider: p{number}, region: r{number}, zone: z{number}, account: a{number}, credential: c{number} }}"
        );
        write!(
            text,
            "---\nkind: Site\nsite_id: site{number}\nfault_domains: {domains}\nhost: h{number}\nresidency: eu\nreconciler_id: main\noverridable_in: [dev]\n\
             ---\nkind: Location\nlocation_id: l{number}\nsite: site{number}\nfault_domains: {domains}\nresidency: eu\nclass: hot\n\
             immutable: false\ncapacity: 1TiB\nbandwidth: 100MiB/s\n"
        )
        .unwrap();
        names.push(format!("l{number}"));
    }
    let names = names.join(", ");
    text += &format!(
        "---\nkind: StorageProfile\nstorage_id: everywhere\nlocations: [{names}]\nrestore_throughput: 100MiB/s\nthaw_time: PT0S\n"
    );
    let plans = (0..300)
        .map(|number| one_plan(number, "hourly", "month").replace("[both]", "[everywhere]"));
    text.extend(plans);
    text
}

fn misspelt_names() -> String {
    let plans = (0..9_000).map(|number| {
        let of = format!("dataset_ids: [ds_dokuments_{number}]");
        plan(
            &format!("bp_{number:04}"),
            &of,
            "hourli",
            "month",
            "backup-01",
        )
    });
    plans.collect()
}

fn overrides_of_sites() -> String {
    let domains = "{ provider: acme, region: west, zone: west-1, account: platform, credential: platform-writer }";
    let sites = (0..2_000).map(|number| {
        format!("---\nkind: Site\nsite_id: site{number}\nfault_domains: {domains}\nhost: h\nresidency: eu\nreconciler_id: main\noverridable_in: [wide]\n")
    });
    let mut text: String = sites.collect();
    text += "---\nkind: Environment\nenvironment_id: wide\nproduction: false\nplanes: [product_cloud]\nbundle_validity: P30D\noverrides:\n";
    for number in 0..900 {
        let which = if number % 2 == 0 {
            "*".to_owned()
        } else {
            format!("site{number}")
        };
        writeln!(
            text,
            "  - {{ at: 'gsmd:sites/{which}/reconciler_id', value: r{number} }}"
        )
        .unwrap();
    }
    text
}

/// What was tried on an earlier version and held.
#[rstest]
#[case::cut_sets_over_24_locations(many_locations())]
#[case::derived_150_from_150(layers(150, 2))]
#[case::misspelt_names(misspelt_names())]
#[case::overrides_of_sites(overrides_of_sites())]
fn what_held_still_holds(#[case] text: String) {
    let folder = tree();
    fs::write(folder.path().join("x.yaml"), text).unwrap();
    let ran = patient(check(folder.path(), &[]));
    ran.is_bounded();
    assert!(!ran.text.contains("error[SW054"), "{}", ran.shown());
}

const DENY: &str = "deny contains {\"at\": [\"plans\"], \"msg\": \"m\"} if";

fn functions(depth: usize) -> String {
    let mut text = String::new();
    for number in 0..depth {
        writeln!(text, "f{number}(x) := f{}(x) + 1\n", number + 1).unwrap();
    }
    format!("{text}f{depth}(x) := x\n\n{DENY} f0(1) < 0")
}

fn virtual_documents(depth: usize) -> String {
    let mut text = String::new();
    for number in 0..depth {
        writeln!(text, "a{number} := a{} + 1\n", number + 1).unwrap();
    }
    format!("{text}a{depth} := 1\n\n{DENY} a0 < 0")
}

/// A value that holds the one before twice, again and again: small, and endless to spell out.
fn shared_value() -> String {
    let mut text = "v0 := [1, 1]\n\n".to_owned();
    for number in 1..30 {
        writeln!(text, "v{number} := [v{0}, v{0}]\n", number - 1).unwrap();
    }
    format!("{text}{DENY} count(sprintf(\"%v\", [v29])) < 0")
}

/// A check with one rule of an organisation.
fn ruled(body: &str, time: &str, memory: &str) -> Ran {
    let (folder, rules) = (tree(), rules(body));
    let own = rules.path().to_str().unwrap().to_owned();
    let mut command = check(folder.path(), &["--env", "production", "--rules", &own]);
    command
        .env("SEAWALL_TIME_LIMIT", time)
        .env("SEAWALL_MEMORY_LIMIT", memory);
    run(command)
}

#[rstest]
#[case::functions(functions(2_000))]
#[case::virtual_documents(virtual_documents(2_000))]
fn rules_on_rules_without_end_are_refused(#[case] body: String) {
    ruled(&body, "28", "2048").told("SW0402", "more than 64 deep");
}

#[rstest]
#[case::functions(functions(63))]
#[case::virtual_documents(virtual_documents(63))]
fn rules_on_rules_fit_the_stack(#[case] body: String) {
    let ran = ruled(&body, "28", "2048");
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
}

/// Whatever a rule does to time, memory or the stack; with small limits, so that it ends soon.
#[rstest]
#[case::glob_of_many_stars(format!("pattern := concat(\"\", [\"*a\" | some _ in numbers.range(1, 20000)])\n\ntext := concat(\"\", [\"a\" | some _ in numbers.range(1, 30000)])\n\n{DENY} glob.match(concat(\"\", [pattern, \"b\"]), [], text)"))]
#[case::a_shared_value_spelled_out(shared_value())]
#[case::replace_of_each_letter(format!("a := sprintf(\"%1000000d\", [1])\n\nb := replace(a, \" \", sprintf(\"%10000d\", [1]))\n\n{DENY} count(b) < 0"))]
#[case::big_integers(format!("{DENY} product([99999999 | some _ in numbers.range(1, 900000)]) < 0"))]
#[case::array_concat(format!("a := numbers.range(1, 900000)\n\nb := array.concat(array.concat(a, a), array.concat(a, a))\n\nc := array.concat(array.concat(b, b), array.concat(b, b))\n\nd := array.concat(array.concat(c, c), array.concat(c, c))\n\n{DENY} count(array.concat(d, d)) < 0"))]
#[case::long_findings("deny contains {\"at\": [\"plans\"], \"msg\": sprintf(\"%s %d\", [big, a])} if some a in numbers.range(1, 99999)\n\nbig := sprintf(\"%20000d\", [1])".to_owned())]
fn no_rule_beats_the_bounds(#[case] body: String) {
    let ran = ruled(&body, "6", "768");
    ran.is_bounded();
    assert!(ran.took < Duration::from_secs(14), "{:?}", ran.took);
    assert!(ran.peak < 768 << 20, "{} MiB", ran.peak >> 20);
    let codes = ["SW0401", "SW0402", "SW0404", "SW0544", "SW0545", "SW0546"];
    let is_told = |code: &&str| ran.text.contains(&format!("error[{code}]"));
    assert!(codes.iter().any(is_told), "{}", ran.shown());
}

/// What nests deeper than a stack is either worked out or refused: how much a frame takes is the build's affair.
#[test]
fn a_deep_addition_is_answered_or_refused() {
    let sum = "1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 +\n".repeat(4_000);
    let ran = ruled(&format!("a := {sum}1\n\n{DENY} a == 40001"), "6", "768");
    ran.is_bounded();
    assert!(ran.took < Duration::from_secs(14), "{:?}", ran.took);
    assert!(ran.peak < 768 << 20, "{} MiB", ran.peak >> 20);
    let codes = [
        "ACME0101", "SW0401", "SW0402", "SW0404", "SW0544", "SW0545", "SW0546",
    ];
    let is_told = |code: &&str| ran.text.contains(&format!("error[{code}]"));
    assert!(codes.iter().any(is_told), "{}", ran.shown());
}

/// One step of the engine takes more than there may be, and no limit of the engine is looked at meanwhile.
#[test]
fn a_step_that_takes_all_memory_is_ended() {
    let body = format!("{DENY} count(sprintf(\"%4294967295d\", [1])) < 0");
    let ran = ruled(&body, "28", "1536");
    ran.told("SW0545", "took more than 1536 MiB of memory");
    assert!(ran.peak < 1536 << 20, "{} MiB", ran.peak >> 20);
}

/// Rules that take long by themselves end together, and each of them is named.
#[test]
fn many_slow_rules_share_one_time() {
    let folder = tree();
    let own = tempfile::tempdir().unwrap();
    let ever = "\tsome a in numbers.range(1, 900000)\n\tsome b in numbers.range(1, 900000)\n";
    for number in 0..24 {
        let path = own.path().join(format!("slow/rule-{number:02}"));
        fs::create_dir_all(&path).unwrap();
        let head = format!(
            "# METADATA\n# title: t\n# description: d\n# custom: {{ code: ACME01{number:02}, severity: error }}\n"
        );
        let text = format!(
            "{head}package acme.rules.slow.rule_{number:02}\n\nimport rego.v1\n\n{DENY} {{\n{ever}\ta + b < 0\n}}\n"
        );
        fs::write(path.join("rule.rego"), text).unwrap();
    }
    let mut command = check(
        folder.path(),
        &[
            "--env",
            "production",
            "--rules",
            own.path().to_str().unwrap(),
        ],
    );
    command.env("SEAWALL_TIME_LIMIT", "16");
    let ran = run(command);
    ran.told("SW0401", "the time of the run was used up before it ran");
    ran.told("SW0401", "time limit");
    for number in 0..24 {
        assert!(
            ran.text
                .contains(&format!("rule `slow/rule-{number:02}` gave no answer")),
            "{number}: {}",
            ran.shown()
        );
    }
}

fn endless(folder: &TempDir, rules: &TempDir) -> Child {
    let mut command = check(folder.path(), &["--rules", rules.path().to_str().unwrap()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Whoever ends the command ends its work.
#[rstest]
#[case::interrupted("INT", 2)]
#[case::terminated("TERM", 15)]
#[case::killed("KILL", 9)]
fn the_child_dies_with_its_parent(#[case] name: &str, #[case] number: i32) {
    use std::os::unix::process::ExitStatusExt as _;
    let folder = tree();
    let body = format!(
        "{DENY} {{\n\tsome a in numbers.range(1, 900000)\n\tsome b in numbers.range(1, 900000)\n\ta + b < 0\n}}"
    );
    let rules = rules(&body);
    let mut parent = endless(&folder, &rules);
    let until = Instant::now() + Duration::from_mins(1);
    let child = loop {
        if let Some(child) = children(parent.id()).first() {
            break *child;
        }
        assert!(Instant::now() < until, "no child is started");
        std::thread::sleep(Duration::from_millis(5));
    };
    // Once it takes memory of its own it has run far enough to be bound.
    while memory(parent.id()) < 64 << 20 {
        assert!(Instant::now() < until, "the child does nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill")
        .args([&format!("-{name}"), &parent.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(parent.wait().unwrap().signal(), Some(number));
    // Sooner than the rule would have used up its time.
    let until = Instant::now() + Duration::from_secs(5);
    while Path::new(&format!("/proc/{child}/exe")).exists() {
        assert!(Instant::now() < until, "the child lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A reader may take as long as it likes: only work counts.
#[test]
fn a_pager_is_waited_for() {
    let mut command = seawall(&[
        "schedule",
        "PT1M",
        "--from",
        "2027-01-01",
        "--to",
        "2027-01-12",
    ]);
    command.env("SEAWALL_TIME_LIMIT", "4");
    command.stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Longer than its time; what it writes does not fit the pipe.
    std::thread::sleep(Duration::from_secs(9));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it ended before it was read"
    );
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text.lines().count(), 11 * 24 * 60 + 1);
}

/// What the child writes and how it ends is what its parent writes and how that ends.
#[test]
fn the_parent_adds_nothing() {
    let folder = tree();
    let folder = folder.path().to_str().unwrap();
    let alone = |arguments: &[&str]| {
        let mut command = seawall(arguments);
        command.env("SEAWALL_SUPERVISED_BY", std::process::id().to_string());
        command.output().unwrap()
    };
    for arguments in [
        &["check", folder, "--at", AT][..],
        &["check", folder, "--at", AT, "--format", "json"],
        &["check", "/nowhere"],
        &["prove", folder, "--env", "nothing"],
        &["explain", "SW0101"],
        &["verify", folder, "--env", "dev"],
        &[
            "schedule",
            "61 * * * *",
            "--from",
            "2027-01-01",
            "--to",
            "2027-01-02",
        ],
    ] {
        let (one, other) = (seawall(arguments).output().unwrap(), alone(arguments));
        assert_eq!(one, other, "{arguments:?}");
    }
}
