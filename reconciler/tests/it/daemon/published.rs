//! The policy repository of a stranger: what it sends is bounded, what it leaves is gone, what it is told is no secret. Real
//! git on both sides; over SSH the client's `ssh` is a script that starts the server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use reconciler::config;
use reconciler::world::git::published;

use super::world::World;

/// Git in the published repository, with something on its standard input.
fn git(world: &World, arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = Command::new("git")
        .arg("-C")
        .arg(world.path("policy"))
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input).unwrap();
    drop(pipe);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{arguments:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Points the branch at a commit whose `trust` folder holds one blob under these names, beside the first root.
fn publish_roots(world: &World, blob: &[u8], names: &[String]) {
    let id = git(world, &["hash-object", "-w", "--stdin"], blob);
    let mut entries: Vec<String> = names
        .iter()
        .map(|name| format!("100644 blob {id}\t{name}"))
        .collect();
    let first = git(world, &["rev-parse", "HEAD:trust/1.root.json"], b"");
    entries.push(format!("100644 blob {first}\t1.root.json"));
    let trust = git(world, &["mktree"], entries.join("\n").as_bytes());
    let dev = git(world, &["rev-parse", "HEAD:dev"], b"");
    let top = format!("040000 tree {dev}\tdev\n040000 tree {trust}\ttrust\n");
    let top = git(world, &["mktree"], top.as_bytes());
    let commit = git(
        world,
        &["commit-tree", "-p", "HEAD", "-m", "roots", &top],
        b"",
    );
    git(world, &["update-ref", "refs/heads/main", &commit], b"");
}

fn roots(upto: u32) -> Vec<String> {
    (2..=upto)
        .map(|version| format!("{version}.root.json"))
        .collect()
}

/// A program of this name is found before the machine's own.
fn shadow(world: &World, name: &str, script: &str) -> String {
    let folder = world.path("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

fn over_ssh(world: &World, more: &str) {
    let policy = world.path("policy");
    let url = format!("url: {}", policy.display());
    let ssh = format!("url: ssh://git@example.org{}", policy.display());
    world.configure(&[
        (&url, &ssh),
        ("deadline: PT30S", &format!("deadline: PT30S{more}")),
    ]);
}

fn once(world: &World, path: &str) -> (Output, String) {
    let done = world.command(&["once"]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (done, said)
}

fn size(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.metadata().unwrap();
        bytes += if found.is_dir() {
            size(&entry.path())
        } else {
            found.len()
        };
    }
    bytes
}

/// What is refused leaves the accepted bundle active, and backups go on.
fn still_protects(world: &World) {
    world.expect(0, &["backup", "bp_files"]);
    let status = world.json(0, &["status"]);
    assert_eq!(status["serial"], 1, "{status}");
}

#[test]
fn a_root_is_measured_before_it_is_unpacked() {
    let world = World::new();
    world.json(0, &["once"]);
    publish_roots(&world, &vec![0; 64 << 20], &roots(1_024));
    let said = world.refused(4, &["once"]);
    assert!(
        said.contains("SW1208") && said.contains("2.root.json"),
        "{said}"
    );
    // Of all processes below this test, the largest: one that unpacked a few of them would be larger.
    let usage = nix::sys::resource::UsageWho::RUSAGE_CHILDREN;
    let largest = nix::sys::resource::getrusage(usage).unwrap().max_rss();
    assert!(largest < 400 << 10, "{largest} KiB");
    world.expect(0, &["backup", "bp_files"]);
}

#[test]
fn the_roots_of_a_chain_are_bounded_together() {
    let world = World::new();
    world.json(0, &["once"]);
    publish_roots(&world, &vec![b' '; 1_900_000], &roots(65));
    let said = world.refused(4, &["once"]);
    assert!(said.contains("SW1208"), "{said}");
}

#[test]
fn one_root_more_than_opening_takes_is_read_and_refused() {
    let world = World::new();
    world.json(0, &["once"]);
    publish_roots(&world, b"{}", &roots(70));
    let said = world.refused(3, &["once"]);
    assert!(said.contains("SW0502") && said.contains("65"), "{said}");
}

#[test]
fn a_commit_and_a_file_of_any_size_are_refused_by_their_headers() {
    let world = World::new();
    world.json(0, &["once"]);
    let long = vec![b'x'; 2 << 20];
    git(
        &world,
        &["commit", "--quiet", "--allow-empty", "-F", "-"],
        &long,
    );
    let said = world.refused(4, &["once"]);
    assert!(said.contains("SW1208"), "{said}");
    git(&world, &["reset", "--quiet", "--hard", "HEAD~"], b"");
    // An envelope just above the limit of opening is for opening to refuse.
    world.put("policy/dev/bundle.dsse.json", &vec![b' '; 17 << 20]);
    world.commit();
    let said = world.refused(3, &["once"]);
    assert!(said.contains("SW0502"), "{said}");
    world.put("policy/dev/bundle.dsse.json", &vec![b' '; 40 << 20]);
    world.commit();
    let said = world.refused(4, &["once"]);
    assert!(
        said.contains("SW1208") && said.contains("bundle.dsse.json"),
        "{said}"
    );
    still_protects(&world);
}

/// Links, folders and other repositories under the name of a file are none.
#[test]
fn only_a_plain_file_is_read() {
    let world = World::new();
    world.json(0, &["once"]);
    let bundle = world.path("policy/dev/bundle.json");
    std::fs::remove_file(&bundle).unwrap();
    std::os::unix::fs::symlink("provenance.json", &bundle).unwrap();
    world.commit();
    assert!(world.refused(4, &["once"]).contains("SW1206"));
    std::fs::remove_file(&bundle).unwrap();
    std::fs::create_dir(&bundle).unwrap();
    std::fs::write(bundle.join("x"), "x").unwrap();
    world.commit();
    assert!(world.refused(4, &["once"]).contains("SW1206"));
    std::fs::remove_dir_all(&bundle).unwrap();
    let head = git(&world, &["rev-parse", "HEAD"], b"");
    let entry = format!("160000,{head},dev/bundle.json");
    git(&world, &["add", "-A"], b"");
    git(
        &world,
        &["update-index", "--add", "--cacheinfo", &entry],
        b"",
    );
    git(&world, &["commit", "--quiet", "-m", "submodule"], b"");
    assert!(world.refused(4, &["once"]).contains("SW1206"));
    git(&world, &["reset", "--quiet", "--hard"], b"");
    std::fs::rename(world.path("policy/trust"), world.path("policy/elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", world.path("policy/trust")).unwrap();
    world.commit();
    assert!(world.refused(4, &["once"]).contains("SW1206"));
    still_protects(&world);
}

#[test]
fn nothing_is_kept_of_history_or_of_what_was_forced_away() {
    let world = World::new();
    world.json(0, &["once"]);
    let junk = crate::vault::world::noise(1, 8 << 20);
    world.put("policy/junk", &junk);
    world.commit();
    std::fs::remove_file(world.path("policy/junk")).unwrap();
    world.commit();
    world.expect(0, &["once"]);
    assert!(
        size(&world.path("state/policy.git")) < 1 << 20,
        "history came along"
    );
    world.put("policy/junk", &junk);
    world.commit();
    world.expect(0, &["once"]);
    assert!(size(&world.path("state/policy.git")) > 8 << 20);
    // What a killed fetch left.
    let left = world.path("state/policy.new/objects/pack");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("tmp_pack_x"), &junk).unwrap();
    git(&world, &["reset", "--quiet", "--hard", "HEAD~"], b"");
    world.expect(0, &["once"]);
    assert!(
        size(&world.path("state/policy.git")) < 1 << 20,
        "junk is kept"
    );
    assert!(!world.path("state/policy.new").exists());
}

/// An object that never ends, again and again: the pack says that it holds a million of it.
fn endless(world: &World) -> String {
    let body = vec![7_u8; 60_000];
    let length = u16::try_from(body.len()).unwrap();
    // Type blob, and its size in groups of 4, 7 and 7 bits.
    let bits = u32::from(length);
    let mut object = vec![
        0b1011_0000 | u8::try_from(bits & 15).unwrap(),
        0x80 | u8::try_from((bits >> 4) & 0x7f).unwrap(),
        u8::try_from(bits >> 11).unwrap(),
    ];
    // One stored block of zlib, and its checksum.
    object.extend([0x78, 0x01, 0x01]);
    object.extend(length.to_le_bytes());
    object.extend((!length).to_le_bytes());
    object.extend(&body);
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in &body {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    object.extend((high << 16 | low).to_be_bytes());
    std::fs::write(world.path("object"), object.repeat(16)).unwrap();
    let mut head = b"0008NAK\nPACK".to_vec();
    head.extend(2_u32.to_be_bytes());
    head.extend(1_000_000_u32.to_be_bytes());
    std::fs::write(world.path("head"), head).unwrap();
    let id = "1".repeat(40);
    let refs = format!("{id} refs/heads/main\0shallow filter agent=x\n");
    let refs = format!("{:04x}{refs}0000", refs.len() + 4);
    std::fs::write(world.path("refs"), refs).unwrap();
    // Whoever only asks for references leaves after them.
    let script = format!(
        "cat {refs}\nread line || exit 0\ncase $line in *want*) ;; *) exit 0 ;; esac\nprintf 0034shallow\\ {id}0000 2>/dev/null\ncat {head}\nwhile cat {object}; do :; done",
        refs = world.path("refs").display(),
        head = world.path("head").display(),
        object = world.path("object").display(),
    );
    shadow(world, "ssh", &script)
}

#[test]
fn a_server_that_never_stops_sending_fills_no_disk() {
    let world = World::new();
    world.json(0, &["once"]);
    let path = endless(&world);
    over_ssh(&world, "");
    for _ in 0..2 {
        let (done, said) = once(&world, &path);
        assert_eq!(done.status.code(), Some(4), "{said}");
        assert!(said.contains("SW1211"), "{said}");
        assert!(size(&world.path("state")) < 8 << 20, "something is left");
    }
    world.configure(&[]);
    still_protects(&world);
}

/// A mirror that somebody else could write to, or that is broken, decides nothing.
#[test]
fn a_mirror_is_made_again_and_its_settings_are_not_read() {
    let world = World::new();
    world.json(0, &["once"]);
    let mirror = world.path("state/policy.git");
    let ran = world.path("ran");
    let url = world.path("policy").display().to_string();
    let hostile = format!(
        "[core]\n\tbare = true\n\tfsmonitor = touch {ran}\n\tsshCommand = touch {ran}\n[remote \"{url}\"]\n\tuploadpack = touch {ran};git-upload-pack\n[include]\n\tpath = /etc/passwd\n",
        ran = ran.display()
    );
    std::fs::write(mirror.join("config"), hostile).unwrap();
    world.expect(0, &["once"]);
    assert!(!ran.exists());
    let config = std::fs::read_to_string(mirror.join("config")).unwrap();
    assert!(!config.contains("remote"), "{config}");
    std::fs::remove_dir_all(mirror.join("objects")).unwrap();
    std::fs::create_dir(mirror.join("objects")).unwrap();
    world.expect(0, &["once"]);
    std::fs::remove_dir_all(&mirror).unwrap();
    std::os::unix::fs::symlink("/etc", &mirror).unwrap();
    // A link in the state folder is nobody's of ours.
    let said = world.refused(4, &["once"]);
    assert!(said.contains("SW1215"), "{said}");
}

/// Whatever a server puts into its own settings, it runs nothing here.
#[test]
fn settings_of_the_remote_run_nothing() {
    let world = World::new();
    let ran = world.path("ran");
    let touch = format!("touch {}", ran.display());
    for (name, value) in [
        ("core.fsmonitor", touch.as_str()),
        ("core.hooksPath", "hooks"),
        ("core.sshCommand", touch.as_str()),
        ("uploadpack.packObjectsHook", touch.as_str()),
    ] {
        git(&world, &["config", name, value], b"");
    }
    for hook in ["post-checkout", "reference-transaction", "post-upload-pack"] {
        let path = world.path("policy/.git/hooks").join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{touch}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    world.json(0, &["once"]);
    assert!(!ran.exists());
}

#[test]
fn an_ssh_that_leaves_its_group_ends_at_the_deadline() {
    let world = World::new();
    let left = world.path("left");
    let script = format!(
        "trap '' TERM\nsetsid sh -c 'trap \"\" TERM HUP; echo $$ >{left}; exec sleep 1000' &\nsleep 1000",
        left = left.display()
    );
    let path = shadow(&world, "ssh", &script);
    over_ssh(&world, "");
    let config = world.path("seawalld.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("PT30S", "PT1S")).unwrap();
    let began = Instant::now();
    let (done, said) = once(&world, &path);
    assert_eq!(done.status.code(), Some(4), "{said}");
    assert!(said.contains("SW1204"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(15));
    let pid = std::fs::read_to_string(&left).unwrap();
    assert!(
        !Path::new(&format!("/proc/{}", pid.trim())).exists(),
        "it lives on"
    );
}

#[test]
fn an_unknown_branch_a_closed_connection_and_garbage_have_their_codes() {
    let world = World::new();
    for (script, code) in [
        ("exit 0", "SW1203"),
        ("printf '\\033[2Jgarbage'", "SW1203"),
        ("printf '\\033[2J\\342\\200\\256' >&2; exit 1", "SW1203"),
    ] {
        let path = shadow(&world, "ssh", script);
        over_ssh(&world, "");
        let (done, said) = once(&world, &path);
        assert_eq!(done.status.code(), Some(4), "{said}");
        assert!(said.contains(code), "{said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    }
    world.configure(&[("branch: main", "branch: other")]);
    assert!(world.refused(4, &["once"]).contains("SW1205"));
}

#[test]
fn a_url_is_a_url_and_holds_no_credentials() {
    let world = World::new();
    let url = format!("url: {},", world.path("policy").display());
    for (bad, code) in [
        ("https://hunter2@localhost/p.git", "SW1213"),
        ("https://bot:hunter2@localhost/p.git", "SW1213"),
        ("https://localhost/p.git?private_token=hunter2", "SW1213"),
        ("ssh://git:hunter2@localhost/p.git", "SW1213"),
        ("ext::sh -c hunter2", "SW1202"),
        ("fd::17/hunter2", "SW1202"),
        ("http://localhost/hunter2", "SW1202"),
        ("git@localhost:hunter2", "SW1202"),
        ("--upload-pack=hunter2", "SW1202"),
        ("HTTPS://localhost/hunter2", "SW1202"),
    ] {
        world.configure(&[(&url, &format!("url: \"{bad}\","))]);
        for command in ["once", "plan", "doctor", "status"] {
            let done = world
                .command(&[command])
                .env("SEAWALLD_LOG", "trace")
                .output()
                .unwrap();
            let said = [done.stdout, done.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(done.status.code(), Some(2), "{bad}: {said}");
            assert!(
                said.contains(code) && !said.contains("hunter2"),
                "{bad}: {said}"
            );
        }
    }
}

#[test]
fn hosts_that_are_options_run_nothing() {
    let world = World::new();
    let url = format!("url: {},", world.path("policy").display());
    let ran = world.path("ran");
    for bad in [
        format!("ssh://-oProxyCommand=touch%20{}/p.git", ran.display()),
        format!("ssh://localhost;touch {}/p.git", ran.display()),
        format!("ssh://$(touch {})/p.git", ran.display()),
    ] {
        world.configure(&[(&url, &format!("url: \"{bad}\","))]);
        let said = world.refused(4, &["once"]);
        assert!(said.contains("SW120"), "{said}");
        assert!(!ran.exists(), "{bad}");
    }
}

/// Real git asks, this program answers, and nobody else sees the password.
#[test]
fn a_password_goes_from_its_file_to_git_and_nowhere_else() {
    let world = World::new();
    let secret = "hunter2 with 'quotes'";
    std::fs::write(world.path("it's a password"), format!("{secret}\n")).unwrap();
    let file = world.path("it's a password");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (seen, got, other) = (world.path("seen"), world.path("got"), world.path("other"));
    let real =
        String::from_utf8(Command::new("which").arg("git").output().unwrap().stdout).unwrap();
    // The settings that the daemon gives to git, and a question for the host, for another one, and without TLS.
    let script = format!(
        "printf '%s\\n' \"$@\" >>{seen}; env >>{seen}\n\
         all=(); for one; do [ \"$one\" != ls-remote ] || break; all+=(\"$one\"); done\n\
         printf 'protocol=https\\nhost=localhost:1\\n\\n' | {real} \"${{all[@]}}\" credential fill >{got} 2>&1\n\
         for q in 'protocol=https\\nhost=localhost' 'protocol=http\\nhost=localhost:1'; do printf \"$q\\n\\n\" | {real} \"${{all[@]}}\" credential fill >>{other} 2>&1; done\n\
         echo fatal: no 1>&2; exit 128",
        seen = seen.display(),
        got = got.display(),
        other = other.display(),
        real = real.trim(),
    );
    let path = shadow(&world, "git", &script);
    let url = format!("url: {},", world.path("policy").display());
    let yaml = format!(
        "url: \"https://localhost:1/p.git\", credentials: {{ username: bot, password_file: \"{}\" }},",
        file.display()
    );
    world.configure(&[(&url, &yaml)]);
    for arguments in [
        vec!["once"],
        vec!["doctor"],
        vec!["--format", "json", "plan"],
    ] {
        let done = world
            .command(&arguments)
            .env("PATH", &path)
            .env("SEAWALLD_LOG", "trace")
            .env("FOREIGN_SECRET", "hunter3")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(
            said.contains("SW1203") && !said.contains("hunter2"),
            "{said}"
        );
    }
    let got = std::fs::read_to_string(got).unwrap();
    assert!(
        got.contains("username=bot\n") && got.contains(&format!("password={secret}\n")),
        "{got}"
    );
    let other = std::fs::read_to_string(other).unwrap();
    assert!(!other.contains("hunter2"), "{other}");
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(
        !seen.contains("hunter2") && !seen.contains("hunter3"),
        "{seen}"
    );

    std::fs::write(&file, "two\nlines\n").unwrap();
    let said = world.refused(4, &["once"]);
    assert!(
        said.contains("SW1212") && !said.contains("lines\n"),
        "{said}"
    );
    std::fs::remove_file(&file).unwrap();
    assert!(world.refused(4, &["once"]).contains("SW1212"));
}

#[test]
fn a_key_of_ssh_is_the_only_one_that_is_offered() {
    let world = World::new();
    let asked = world.path("asked");
    let script = format!(
        "printf '%s\\n' \"$@\" >{}; for last do :; done; exec sh -c \"$last\"",
        asked.display()
    );
    let path = shadow(&world, "ssh", &script);
    for file in ["a key", "hosts"] {
        std::fs::write(world.path(file), "x").unwrap();
        std::fs::set_permissions(world.path(file), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (key, hosts) = (world.path("a key"), world.path("hosts"));
    let more = format!(
        ", ssh: {{ key: \"{}\", known_hosts: \"{}\" }}",
        key.display(),
        hosts.display()
    );
    over_ssh(&world, &more);
    let (done, said) = once(&world, &path);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let asked = std::fs::read_to_string(asked).unwrap();
    let asked: Vec<&str> = asked.lines().collect();
    let key = key.display().to_string();
    let hosts = format!("UserKnownHostsFile={}", hosts.display());
    for wanted in [
        "-F",
        "/dev/null",
        "-oIdentitiesOnly=yes",
        "-i",
        &key,
        "-oStrictHostKeyChecking=yes",
        &hosts,
        "git@example.org",
    ] {
        assert!(asked.contains(&wanted), "{wanted} is not in {asked:?}");
    }
    std::fs::remove_file(world.path("a key")).unwrap();
    let (_, said) = once(&world, &path);
    assert!(said.contains("SW1212"), "{said}");
}

/// The kernel holds git to bounds that the daemon could only notice: one process's memory and one file's size.
#[test]
fn git_runs_within_the_limits_of_the_kernel() {
    let world = World::new();
    let seen = world.path("seen");
    let script = format!(
        "ulimit -c >{0}; ulimit -v >>{0}; umask >>{0}; exit 1",
        seen.display()
    );
    let path = shadow(&world, "git", &script);
    let (done, said) = once(&world, &path);
    assert_eq!(done.status.code(), Some(4), "{said}");
    let seen = std::fs::read_to_string(seen).unwrap();
    assert_eq!(seen.lines().collect::<Vec<_>>(), ["0", "2097152", "0077"]);
    let missing = world
        .command(&["once"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(said.contains("SW1210"), "{said}");
}

/// A branch that still shows the commit that is followed is not read again; any other commit is.
#[test]
fn a_known_commit_is_not_read_again() {
    let mut world = World::new();
    let file = world.path("seawalld.yaml");
    let config = config::parse(&std::fs::read_to_string(&file).unwrap(), &file).unwrap();
    std::fs::create_dir_all(&config.state).unwrap();
    let mirror = config.mirror_path();
    let look = |known: Option<&str>| {
        published(&config.git, &mirror, &config.environment, known, &|| false)
    };
    let first = look(None).unwrap().unwrap();
    assert_eq!(look(Some(&first.commit)).unwrap(), None);
    world.publish();
    let second = look(Some(&first.commit)).unwrap().unwrap();
    assert_ne!(first.commit, second.commit);
    assert_ne!(first.envelope, second.envelope);
    assert_eq!(look(Some(&second.commit)).unwrap(), None);
}
