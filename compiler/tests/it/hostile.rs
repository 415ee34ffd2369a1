//! Input that was made to hurt: whatever stands in a tree or in a rule, `seawall check` ends within bounded time and
//! memory, with a code, words that say what to do and an exit status, and nothing of it acts on the reader's terminal.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use compiler::source::{SourceFile, SourceSet, hidden};
use rstest::rstest;
use tempfile::TempDir;

use crate::repository::AT;
use crate::trees;

/// What a tree may take, whatever stands in it.
const TREE_MEMORY: u64 = 1 << 30;
/// What a run may take, whatever a rule does.
const RULE_MEMORY: u64 = 2 << 30;
/// Slow machines that do other things beside.
const TIME: Duration = Duration::from_secs(90);
/// Seconds that the program gives itself there, below what the test waits.
const TIME_OF_TREE: &str = "80";
/// An endless rule has three quarters of it.
const TIME_OF_RULE: &str = "12";

/// How a run ended.
struct Met {
    status: i32,
    out: String,
    err: String,
    /// The most memory that it held at one time.
    peak: u64,
}

/// The smallest tree, to which a test adds what hurts.
pub fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in trees::read("fixtures/valid/minimal").files {
        fs::write(folder.path().join(file.path), file.text).unwrap();
    }
    folder
}

fn check(folder: &Path, arguments: &[&str]) -> Met {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("seawall"));
    command.arg("check").arg(folder).args(["--at", AT]);
    command.args(arguments);
    let is_about_rules = arguments.contains(&"--rules");
    let time = if is_about_rules {
        TIME_OF_RULE
    } else {
        TIME_OF_TREE
    };
    run(command, time)
}

/// Runs it; once more when it had ended before anybody could look at its memory, as it can on a busy machine.
fn run(mut command: Command, time: &str) -> Met {
    let mut runs = (0..20).map(|_| once(&mut command, time));
    runs.find(|met| met.peak > 0)
        .expect("somebody sees its memory in one of twenty runs")
}

/// Runs it, looking at its memory until it ends. What it writes goes to files: a pipe that nobody reads would hold it up.
fn once(command: &mut Command, time: &str) -> Met {
    let told = tempfile::tempdir().unwrap();
    let (out, err) = (told.path().join("out"), told.path().join("err"));
    command.env_clear().env("COLUMNS", "110");
    command.env("SEAWALL_TIME_LIMIT", time);
    command.stdin(Stdio::null());
    command.stdout(File::create(&out).unwrap());
    command.stderr(File::create(&err).unwrap());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(memory(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > TIME {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it runs for more than {TIME:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap();
    Met {
        status: status
            .code()
            .unwrap_or_else(|| panic!("{status}: {}", read(&err))),
        out: read(&out),
        err: read(&err),
        peak,
    }
}

/// The most memory that the processes below this one ever held, and that it held itself; nothing before there are any.
pub fn memory(process: u32) -> u64 {
    let status = |process: u32| fs::read_to_string(format!("/proc/{process}/status"));
    let held = |process| status(process).map_or(0, |text| high_water(&text));
    let below: u64 = children(process).into_iter().map(held).sum();
    if below == 0 { 0 } else { below + held(process) }
}

/// The processes that a process has started.
pub fn children(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    children
        .split(' ')
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// The most memory that a process ever held, as the kernel tells it in `/proc`.
fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.parse::<u64>().unwrap() << 10)
}

impl Met {
    /// What holds however a run ends: nothing acts on the terminal, nothing is without bounds, nothing is a bug.
    fn bounded(&self, memory: u64) {
        for text in [&self.out, &self.err] {
            assert_eq!(hidden::first(text), None, "{text:?}");
            assert!(!text.contains('\r'), "{text:?}");
            assert!(text.len() < 2 << 20, "{} bytes are told", text.len());
        }
        assert!([0, 1, 2, 4].contains(&self.status), "{}", self.status);
        assert!(self.peak > 0 && self.peak < memory, "{} bytes", self.peak);
    }

    /// It is refused with this code and these words, and says what to do.
    fn refused(&self, code: &str, words: &str, memory: u64) {
        self.bounded(memory);
        let told = format!("{}{}", self.out, self.err);
        let shown: String = told.chars().take(2000).collect();
        assert_eq!(self.status, 1, "{shown}");
        let line = told
            .lines()
            .find(|line| line.starts_with(&format!("error[{code}]")) && line.contains(words));
        assert!(line.is_some(), "no {code} with `{words}` in: {shown}");
        assert!(told.contains("help: "), "{shown}");
    }
}

/// Writes a file piece by piece.
fn pieces(path: PathBuf, pieces: impl Iterator<Item = String>) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for piece in pieces {
        file.write_all(piece.as_bytes()).unwrap();
    }
    file.flush().unwrap();
}

const DEEP: usize = 100_000;
const KINDLESS: &str = "kind: Objective\nobjective_id: o\nrto: PT1H\nrpo: ";

/// Texts of one file.
#[rstest]
#[case::deep_flow_list("[".repeat(DEEP), "SW0104", "deeper than 24 levels")]
#[case::deep_flow_list_closed(format!("{}{}", "[".repeat(DEEP / 2), "]".repeat(DEEP / 2)), "SW0104", "deeper than 24 levels")]
#[case::deep_flow_mapping(format!("{}1{}", "{a: ".repeat(DEEP), "}".repeat(DEEP)), "SW0104", "a line is 500001 bytes long")]
#[case::deep_block_list(format!("{}a\n", "- ".repeat(DEEP / 2)), "SW0104", "deeper than 24 levels")]
#[case::deep_block_keys(format!("{}a\n", "? ".repeat(DEEP / 2)), "SW0104", "deeper than 24 levels")]
#[case::deep_block_mapping(staircase(), "SW0104", "deeper than 24 levels")]
#[case::alias_bomb(bomb(), "SW0103", "the anchor `&a` is not supported")]
#[case::long_line(format!("a: {}\n", "x".repeat(15 << 20)), "SW0104", "bytes long, more than 131072")]
#[case::long_key(format!("{}: a\n", "x".repeat(100_000)), "SW0104", "bytes long, more than")]
#[case::tab("kind:\tSite\n\tsite_id: a\n".to_owned(), "SW0101", "a tab stands where YAML allows only spaces")]
#[case::byte_order_mark("\u{feff}kind: Site\n".to_owned(), "SW0103", "byte order mark")]
#[case::byte_order_mark_inside("kind: \u{feff}Site\n".to_owned(), "SW0103", "U+FEFF does not show")]
#[case::null_byte("kind: Si\0te\n".to_owned(), "SW0103", "U+0000 does not show")]
#[case::escape_sequence("kind: Si\u{1b}[31mte\n".to_owned(), "SW0103", "U+001B does not show")]
#[case::escape_of_one_byte("kind: Si\u{9b}31mte\n".to_owned(), "SW0103", "U+009B does not show")]
#[case::turned_line(format!("{KINDLESS}\"\u{202e}H1TP\"\n"), "SW0103", "U+202E does not show")]
#[case::turned_comment(format!("{KINDLESS}PT1H # \u{2066}x\n"), "SW0103", "U+2066 does not show")]
#[case::line_separator("kind: \"Obj\u{2028}ective\"\n".to_owned(), "SW0103", "U+2028 does not show")]
#[case::tag_characters("kind: \"Obj\u{e0041}ective\"\n".to_owned(), "SW0103", "U+E0041 does not show")]
#[case::written_escape(format!("{KINDLESS}\"\\e[2J\"\n"), "SW0103", "the value holds U+001B")]
#[case::written_turn(format!("{KINDLESS}\"PT\\u202e1H\"\n"), "SW0103", "the value holds U+202E")]
#[case::written_key("{ \"a\\x07\": 1 }\n".to_owned(), "SW0103", "the value holds U+0007")]
#[case::long_duration(format!("{KINDLESS}PT{}S\n", "9".repeat(60_000)), "SW0110", "is not a duration")]
#[case::long_id(format!("kind: Objective\nobjective_id: {}\n", "x".repeat(60_000)), "SW0111", "is no valid id")]
#[case::long_cron(format!("kind: Schedule\nschedule_id: s\ncron: \"{}1 * * * *\"\ntimezone: UTC\n", "1,".repeat(30_000)), "SW0112", "longer than")]
#[case::names_in_two_cases(format!("{KINDLESS}PT1H\n---\n{}PT1H\n", KINDLESS.replace(": o", ": O")), "SW0111", "`O` is no valid id")]
fn a_text_that_hurts_is_refused(#[case] text: String, #[case] code: &str, #[case] words: &str) {
    let folder = tree();
    fs::write(folder.path().join("x.yaml"), text).unwrap();
    let met = check(folder.path(), &[]);
    met.refused(code, words, TREE_MEMORY);
    // Nothing acts on the terminal of whoever reads another form, either.
    for form in ["json", "sarif", "junit", "github", "markdown"] {
        check(folder.path(), &["--format", form]).bounded(TREE_MEMORY);
    }
}

/// Each line one blank deeper.
fn staircase() -> String {
    let lines: Vec<String> = (0..2000).map(|depth| " ".repeat(depth)).collect();
    lines.join("a:\n")
}

/// Each name stands for ten of the one before.
fn bomb() -> String {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for name in 'b'..='t' {
        let before = char::from_u32(u32::from(name) - 1).unwrap();
        let ten = vec![format!("*{before}"); 10].join(", ");
        writeln!(text, "{name}: &{name} [{ten}]").unwrap();
    }
    text
}

/// Much of what would be right once.
#[rstest]
#[case::refusals((0..300_000).map(|_| "&a 1\n---\n".to_owned()), "SW0104", "is read no further: 1000 findings are enough")]
#[case::syntax_errors((0..300_000).map(|_| "]\n---\n".to_owned()), "SW0104", "is read no further")]
#[case::documents((0..300_000).map(|_| "---\na: 1\n".to_owned()), "SW0104", "of which 10000 are told")]
#[case::values((0..240_000).map(|_| format!("- [{}1]\n", "1,".repeat(30))), "SW0104", "more than 7000000 values")]
#[case::keys((0..300_000).map(|number| format!("k{number}: 1\n")), "SW0104", "more than 1000 keys")]
#[case::same_key((0..300_000).map(|_| "a: 1\n".to_owned()), "SW0104", "is read no further")]
#[case::unknown_fields((0..200).flat_map(|_| std::iter::once("---\nkind: Objective\n".to_owned()).chain((0..900).map(|number| format!("k{number}: 1\n")))), "SW0104", "of which 10000 are told")]
#[case::a_chain((0..20_000).map(|number| format!("---\nkind: Objective\nobjective_id: o{number}\nrpo: gsmd:objectives/o{}/rpo\nrto: PT1H\n", number + 1)), "SW0204", "of a chain of references")]
fn a_flood_is_cut_short(
    #[case] text: impl Iterator<Item = String>,
    #[case] code: &str,
    #[case] words: &str,
) {
    let folder = tree();
    pieces(folder.path().join("x.yaml"), text);
    check(folder.path(), &[]).refused(code, words, TREE_MEMORY);
}

/// Bytes that are no text, and files that are no files.
#[rstest]
#[case::no_utf8(|x: &Path| fs::write(x, b"kind: \xff\xfe\n").unwrap(), "SW0105", "byte 6 begins no character")]
#[case::utf16(|x: &Path| fs::write(x, b"\xff\xfek\0i\0n\0d\0").unwrap(), "SW0105", "is not UTF-8")]
#[case::large(|x: &Path| File::create(x).unwrap().set_len(100 << 20).unwrap(), "SW0104", "larger than 16777216 bytes")]
#[case::large_together(|x: &Path| for number in 0..30 {
    File::create(x.with_file_name(format!("{number}.yaml"))).unwrap().set_len(15 << 20).unwrap();
}, "SW0104", "more than 134217728 bytes")]
#[case::many(|x: &Path| for number in 0..=20_000 {
    File::create(x.with_file_name(format!("{number}.yaml"))).unwrap();
}, "SW0104", "more than 20000 files")]
#[case::link_out(|x: &Path| std::os::unix::fs::symlink("/etc/passwd", x).unwrap(), "SW0113", "it is a symbolic link")]
#[case::link_to_folder(|x: &Path| std::os::unix::fs::symlink("/etc", x.with_extension("")).unwrap(), "SW0113", "it is a symbolic link")]
#[case::link_to_itself(|x: &Path| std::os::unix::fs::symlink("x.yaml", x).unwrap(), "SW0113", "it is a symbolic link")]
#[case::link_to_its_folder(|x: &Path| std::os::unix::fs::symlink(".", x.with_extension("")).unwrap(), "SW0113", "it is a symbolic link")]
#[case::socket(|x: &Path| drop(std::os::unix::net::UnixListener::bind(x).unwrap()), "SW0113", "it is no regular file")]
#[case::pipe(|x: &Path| assert!(Command::new("mkfifo").arg(x).status().unwrap().success()), "SW0113", "it is no regular file")]
#[case::name_is_no_utf8(|x: &Path| fs::write(x.with_file_name(std::ffi::OsStr::from_bytes(b"\xff.yaml")), "a: 1\n").unwrap(), "SW0113", "`\u{fffd}.yaml` cannot be taken: its name is not plain UTF-8")]
#[case::name_that_turns(|x: &Path| fs::write(x.with_file_name("a\u{202e}lmay.b.yaml"), "a: 1\n").unwrap(), "SW0113", "`a?lmay.b.yaml` cannot be taken")]
#[case::name_that_colours(|x: &Path| fs::write(x.with_file_name("a\u{1b}[31m.yaml"), "a: 1\n").unwrap(), "SW0113", "`a?[31m.yaml` cannot be taken")]
#[case::name_in_two_cases(|x: &Path| fs::write(x.with_file_name("Plans.yaml"), "a: 1\n").unwrap(), "SW0113", "where case does not count")]
#[case::deep_folders(|x: &Path| {
    // Together longer than any path that the system takes at once.
    let deep = |name: &str| (0..35).fold(x.with_file_name(name), |path, _| path.join("d".repeat(100)));
    let (upper, lower) = (deep("upper"), deep("lower"));
    fs::create_dir_all(&upper).unwrap();
    fs::create_dir_all(&lower).unwrap();
    fs::rename(x.with_file_name("lower"), upper.join("lower")).unwrap();
}, "SW0113", "it cannot be read")]
fn a_file_that_hurts_is_refused(
    #[case] write: impl Fn(&Path),
    #[case] code: &str,
    #[case] words: &str,
) {
    let folder = tree();
    write(&folder.path().join("x.yaml"));
    check(folder.path(), &[]).refused(code, words, TREE_MEMORY);
}

/// A folder may have any name; what is in it is read.
#[test]
fn a_folder_named_like_a_file_is_a_folder() {
    let folder = tree();
    fs::create_dir(folder.path().join("x.yaml")).unwrap();
    assert_eq!(check(folder.path(), &[]).status, 0);
    fs::write(folder.path().join("x.yaml/y.yaml"), "kind: Nothing\n").unwrap();
    check(folder.path(), &[]).refused("SW0106", "there is no kind `Nothing`", TREE_MEMORY);
}

/// What the user may not read is told, and the rest is not taken for the whole.
#[test]
fn an_unreadable_file_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tree();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.path(), 0o755);
    let binary = folder.path().join("seawall");
    fs::copy(assert_cmd::cargo::cargo_bin("seawall"), &binary).unwrap();
    mode(&binary, 0o755);
    let closed = folder.path().join("closed.yaml");
    fs::write(&closed, "kind: Objective\n").unwrap();
    mode(&closed, 0o000);
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    mode(&below, 0o000);
    // As root nothing is unreadable.
    let root =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(&binary);
        command
    } else {
        Command::new(&binary)
    };
    command.arg("check").arg(folder.path()).args(["--at", AT]);
    let met = run(command, TIME_OF_TREE);
    met.refused(
        "SW0113",
        "`closed.yaml` cannot be taken: Permission denied",
        TREE_MEMORY,
    );
    met.refused(
        "SW0113",
        "`below` cannot be taken: it cannot be read",
        TREE_MEMORY,
    );
    mode(&below, 0o755);
}

/// An honest file of another system: the same model, findings at the same places.
#[test]
fn line_ends_change_nothing() {
    let files = trees::read("policies").files;
    let with = |files: &[SourceFile], end: &str| {
        let files = files.iter().map(|file| SourceFile {
            path: file.path.clone(),
            text: file.text.replace('\n', end),
        });
        SourceSet::new(files.collect())
    };
    let (one, other) = (with(&files, "\n"), with(&files, "\r\n"));
    assert_ne!(one, other);
    let compiled = |sources: &SourceSet| trees::compiled(sources, "production");
    assert_eq!(
        compiled(&one).sealed.unwrap().bundle,
        compiled(&other).sealed.unwrap().bundle
    );

    let mut broken = files;
    for file in &mut broken {
        file.text = file
            .text
            .replace("backup_frequency: gsmd:", "backup_frequency:   gsmd:x");
    }
    let (one, other) = (with(&broken, "\n"), with(&broken, "\r\n"));
    let told = |sources: &SourceSet| trees::told(sources, &compiled(sources));
    assert!(told(&one).lines().count() > 10, "{}", told(&one));
    assert_eq!(told(&one), told(&other));
}

/// A rule of an organisation with this body.
pub fn rules(body: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile/rule");
    fs::create_dir_all(&path).unwrap();
    let head =
        "# METADATA\n# title: t\n# description: d\n# custom: { code: ACME0101, severity: error }\n";
    let text = format!("{head}package acme.rules.hostile.rule\n\nimport rego.v1\n\n{body}\n");
    fs::write(path.join("rule.rego"), text).unwrap();
    folder
}

const EVER: &str = "	some a in numbers.range(1, 900000)\n	some b in numbers.range(1, 900000)\n";
const DENY: &str = "deny contains {\"at\": [\"plans\"], \"msg\": \"m\"} if";

#[rstest]
#[case::without_end(format!("{DENY} {{\n{EVER}	a + b < 0\n}}"), "SW0401", "time limit")]
#[case::memory_without_end(format!("big := sprintf(\"%1000000d\", [1])\n\n{DENY} count([concat(\"\", [big, sprintf(\"%d\", [a])]) | some a in numbers.range(1, 900000)]) < 0"), "SW0401", "memory limit")]
#[case::long_list(format!("{DENY} count(numbers.range(1, 1000000000000)) < 0"), "SW0401", "more than 1000000 numbers")]
#[case::memory_in_one_step(format!("{DENY} count(sprintf(\"%4294967295d\", [1])) < 0"), "SW0545", "took more than 2048 MiB of memory")]
#[case::fault_of_the_engine(format!("{DENY} count(sprintf(\"%99999999999d\", [1])) < 0"), "SW0401", "the engine broke on it")]
#[case::large(format!("# {}\n{DENY} false", "x ".repeat(5 << 20)), "SW0402", "cannot be loaded")]
#[case::deep(format!("{DENY} {}1{} == 2", "[".repeat(40), "]".repeat(40)), "SW0402", "brackets nest too deep")]
#[case::deep_call(format!("{DENY} {}1{} == 2", "abs(".repeat(40), ")".repeat(40)), "SW0402", "brackets nest too deep")]
#[case::recursion(format!("f(x) := g(x) + 1\n\ng(x) := f(x)\n\n{DENY} f(1)"), "SW0402", "leads back to itself")]
#[case::turned(format!("# \u{202e}\n{DENY} false"), "SW0402", "it holds U+202E")]
#[case::turned_words("deny contains {\"at\": [\"plans\"], \"msg\": sprintf(\"%c\", [8238])} if true".to_owned(), "SW0404", "is not one line")]
#[case::turned_place("deny contains {\"at\": [\"plans\", sprintf(\"%c\", [27])], \"msg\": \"m\"} if true".to_owned(), "SW0404", "is not one line")]
#[case::a_million_findings("deny contains {\"at\": [\"plans\"], \"msg\": sprintf(\"%d\", [a])} if some a in numbers.range(1, 1000000)".to_owned(), "SW0404", "at most 100000 are read")]
#[case::many_findings("deny contains {\"at\": [\"plans\", sprintf(\"%d\", [a])], \"msg\": sprintf(\"%d\", [a])} if some a in numbers.range(1, 90000)".to_owned(), "ACME0101", "1")]
fn a_rule_that_hurts_is_no_pass(#[case] body: String, #[case] code: &str, #[case] words: &str) {
    let (folder, rules) = (tree(), rules(&body));
    let own = rules.path().to_str().unwrap();
    let mut met = check(folder.path(), &["--env", "production", "--rules", own]);
    if code == "ACME0101" {
        assert!(
            met.out.contains("89800 more causes not shown: "),
            "{}",
            met.out.len()
        );
        // Its rule gives no advice; the line just found does.
        met.out.push_str("help: ");
    }
    met.refused(code, words, RULE_MEMORY);
}
