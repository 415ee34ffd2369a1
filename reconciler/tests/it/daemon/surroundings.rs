//! What surrounds the daemon on its machine: who can change its files, what its children inherit, what they leave, and what a
//! terminal shows.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::world::World;

/// Lets the key come from a script instead of its file.
fn key_from(world: &World, script: &str) {
    let file = world.path("key.sh");
    let key = world.path("k1.key");
    std::fs::write(&file, format!("{script}\ncat {}\n", key.display())).unwrap();
    let bound = format!("{{ file: {} }}", key.display());
    let command = format!("{{ command: [bash, {}] }}", file.display());
    world.configure(&[(&bound, &command)]);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Everything below the state folder, with its mode.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    if mode(folder) & 0o077 != 0 {
        found.push(format!("{} {:o}", folder.display(), mode(folder)));
    }
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(open_to_others(&path));
        } else if mode(&path) & 0o077 != 0 {
            found.push(format!("{} {:o}", path.display(), mode(&path)));
        }
    }
    found
}

#[test]
fn the_state_is_for_its_user_alone_whatever_the_umask() {
    for umask in ["0", "022", "077"] {
        let world = World::new();
        let script = format!("umask {umask}; exec \"$@\"");
        let once = world.command(&["once"]);
        let done = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(once.get_program())
            .args(once.get_args())
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        for folder in ["state", "loc_a/dev"] {
            let open = open_to_others(&world.path(folder));
            assert!(open.is_empty(), "umask {umask}: {open:?}");
        }
    }
}

#[test]
fn a_state_folder_that_others_could_change_is_closed_and_told() {
    let world = World::new();
    world.json(0, &["once"]);
    let state = world.path("state");
    set_mode(&state, 0o777);
    set_mode(&state.join("store.sqlite"), 0o666);
    let said = world.expect(1, &["doctor"]);
    assert!(said.contains("SW1214") && said.contains("0777"), "{said}");
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("store.sqlite")), 0o600);
    world.expect(0, &["doctor"]);
}

#[test]
fn what_others_own_in_the_state_folder_is_refused() {
    let world = World::new();
    world.json(0, &["once"]);
    let planted = world.path("state/planted");
    let others = Some(65_534);
    std::fs::write(&planted, "x").unwrap();
    std::os::unix::fs::chown(&planted, others, others).unwrap();
    assert!(world.refused(4, &["once"]).contains("SW1215"));
    std::fs::remove_file(&planted).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &planted).unwrap();
    assert!(world.refused(4, &["once"]).contains("SW1215"));
    std::fs::remove_file(&planted).unwrap();
    std::os::unix::fs::chown(world.path("state"), others, others).unwrap();
    assert!(world.refused(4, &["once"]).contains("SW1215"));
    std::os::unix::fs::chown(world.path("state"), Some(0), Some(0)).unwrap();
    world.expect(0, &["once"]);
}

#[test]
fn keys_and_settings_that_others_can_change_or_read_are_told() {
    let world = World::new();
    for file in ["k1.key", "rec.key"] {
        set_mode(&world.path(file), 0o600);
    }
    world.expect(0, &["once"]);
    world.expect(0, &["doctor"]);
    for (file, bad) in [
        ("seawalld.yaml", 0o666),
        ("seawalld.yaml", 0o620),
        ("k1.key", 0o666),
        ("k1.key", 0o644),
        ("rec.key", 0o604),
        ("rec.key", 0o777),
    ] {
        let path = world.path(file);
        let good = mode(&path);
        set_mode(&path, bad);
        let said = world.expect(1, &["doctor"]);
        assert!(
            said.contains("SW1214") && said.contains(file),
            "{file} {bad:o}: {said}"
        );
        // A mode is told and stops no backup.
        let done = world.run(&["once"]);
        assert!(done.status.success());
        assert!(String::from_utf8_lossy(&done.stderr).contains("SW1214"));
        set_mode(&path, good);
    }
    world.expect(0, &["doctor"]);
    // A group may hold a key: that is how it is given to a service.
    set_mode(&world.path("k1.key"), 0o640);
    world.expect(0, &["doctor"]);
    let folder = world.path("k1.key").parent().unwrap().to_owned();
    set_mode(&folder, 0o777);
    let said = world.expect(1, &["doctor"]);
    // Where the table wraps the line depends on the length of the path.
    assert!(said.contains("folder is 0777"), "{said}");
    set_mode(&folder, 0o700);
}

/// A secret of the daemon's environment reaches nobody that it starts.
#[test]
fn children_inherit_no_secret() {
    let world = World::new();
    let seen = world.path("seen");
    key_from(&world, &format!("env >{}", seen.display()));
    let done = world
        .command(&["once"])
        .env("OTHER_KEY", "hunter2")
        .env("HOME", "/nowhere")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(!seen.contains("hunter2"), "{seen}");
    assert!(
        seen.contains("HOME=/nowhere") && seen.contains("PATH="),
        "{seen}"
    );
}

/// A key command that starts a daemon of its own leaves it neither to the machine nor to init.
#[test]
fn what_a_child_leaves_behind_is_ended() {
    let world = World::new();
    let left = world.path("left");
    let script = format!(
        "setsid sh -c 'trap \"\" TERM HUP; echo $$ >>{0}; exec sleep 1000' >/dev/null 2>&1 &\nwhile [ ! -s {0} ]; do sleep 0.01; done",
        left.display()
    );
    key_from(&world, &script);
    world.expect(0, &["once"]);
    let left = std::fs::read_to_string(left).unwrap();
    assert!(left.lines().count() > 0);
    for pid in left.lines() {
        assert!(
            !Path::new(&format!("/proc/{pid}")).exists(),
            "{pid} lives on"
        );
    }
}

/// No process of this program leaves its memory in a core, or shows it to another user's debugger.
#[test]
fn no_process_leaves_a_core() {
    let scratch = tempfile::tempdir().unwrap();
    set_mode(scratch.path(), 0o755);
    // Where another user can reach it.
    let program = scratch.path().join("seawalld");
    std::fs::copy(assert_cmd::cargo::cargo_bin!("seawalld"), &program).unwrap();
    set_mode(&program, 0o755);
    for subcommand in ["__worker"] {
        // As another user than root: what cannot be dumped belongs to root in `/proc`.
        let mut child = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .arg(subcommand)
            .current_dir(scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = format!("/proc/{}", child.id());
        let end = Instant::now() + Duration::from_secs(20);
        let hardened = || {
            let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
            let core = limits
                .lines()
                .find(|line| line.starts_with("Max core"))
                .unwrap();
            let none = core.split_whitespace().filter(|word| *word == "0").count() == 2;
            let name = std::fs::read_to_string(format!("{process}/comm")).unwrap();
            none && name.trim() == "seawalld"
                && std::fs::metadata(format!("{process}/environ"))
                    .unwrap()
                    .uid()
                    == 0
        };
        while !hardened() {
            assert!(Instant::now() < end, "{subcommand} can be dumped");
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let world = World::new();
    let seen = world.path("seen");
    key_from(&world, &format!("ulimit -c >{}", seen.display()));
    world.expect(0, &["once"]);
    assert_eq!(std::fs::read_to_string(seen).unwrap().trim(), "0");
}

#[test]
fn nothing_that_is_said_turns_or_hides_what_is_around_it() {
    let world = World::new();
    world.expect(0, &["once"]);
    let hidden = "x\u{202e}\u{1b}[2J\u{200b}\u{9b}\ny";
    let mut arguments = vec!["restore", "--dataset", "ds_files", "--mode", "export-only"];
    arguments.extend(["--target", "/nowhere", "--point", hidden]);
    let is_plain = |said: &str| !said.contains(['\u{202e}', '\u{1b}', '\u{200b}', '\u{9b}']);
    let said = world.refused(2, &arguments);
    assert!(said.contains("SW1108") && is_plain(&said), "{said:?}");
    let mut json = vec!["--format", "json"];
    json.extend(arguments);
    let said = world.refused(2, &json);
    assert!(said.contains("SW1108") && is_plain(&said), "{said:?}");
    // A name of a stranger's file reaches the message, the receipt and every list.
    let name = "bad\u{202e}name";
    let sums = world.path("sums");
    std::fs::write(&sums, format!("{}  {name}\n", "0".repeat(64))).unwrap();
    std::fs::write(world.path("live").join(name), "x").unwrap();
    let live = format!("path: {} }}", world.path("live").display());
    let summed = format!(
        "path: {}, checksums: {} }}",
        world.path("live").display(),
        sums.display()
    );
    world.configure(&[(&live, &summed)]);
    let said = world.refused(1, &["backup", "bp_files"]);
    assert!(said.contains("bad") && is_plain(&said), "{said:?}");
    for arguments in [vec!["receipts"], vec!["catalog"], vec!["status"]] {
        let done = world.run(&arguments);
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(is_plain(&said), "{said:?}");
        let mut json = vec!["--format", "json"];
        json.extend(arguments);
        let done = world.run(&json);
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(is_plain(&said), "{said:?}");
    }
    let receipts = world.json(0, &["receipts"]).to_string();
    assert!(
        receipts.contains("bad") && is_plain(&receipts),
        "{receipts}"
    );
}
