//! Races against the owner of data, who exchanges names while root reads and restores: 1,000 rounds each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode as Bits;
use nix::unistd::mkfifo;

use super::{
    Binding, Bounds, Cancel, FilesBinding, JsonlBinding, Material, Mode, SqliteBinding, code,
    fingerprint, prepare, restore,
};
use crate::world::attack::{Attacker, Ground, ROUNDS, SECRET, exchange};

fn bounds() -> Bounds {
    Bounds::within(Duration::from_mins(10), Cancel::new())
}

fn files_at(path: &Path) -> Binding {
    Binding::Files(FilesBinding {
        path: path.to_owned(),
        exclude: vec![],
        checksums: None,
        allow_empty: false,
        run_as: None,
    })
}

fn holds_secret(folder: &Path) -> bool {
    let needle = SECRET.trim_end().as_bytes();
    walkdir::WalkDir::new(folder).into_iter().any(|entry| {
        let entry = entry.unwrap();
        let is_file = entry.file_type().is_file();
        let content = if is_file {
            fs::read(entry.path()).unwrap()
        } else {
            Vec::new()
        };
        content.windows(needle.len()).any(|part| part == needle)
    })
}

#[test]
fn json_lines_of_others_are_read_where_they_were_listed() {
    let ground = Ground::new();
    let live = ground.theirs.join("live");
    fs::create_dir(&live).unwrap();
    let mut pairs = Vec::new();
    for number in 0..4 {
        let (name, decoy) = (
            live.join(format!("{number}.jsonl")),
            live.join(format!("decoy{number}")),
        );
        fs::write(&name, "{}\n").unwrap();
        if number % 2 == 0 {
            symlink(ground.ours.join("secret"), &decoy).unwrap();
        } else {
            mkfifo(&decoy, Bits::S_IRWXU).unwrap();
        }
        Ground::give(&name);
        Ground::give(&decoy);
        pairs.push((name, decoy));
    }
    Ground::give(&live);
    let binding = Binding::Jsonl(JsonlBinding {
        path: live,
        include: vec![],
        rotates: false,
        append_only_epoch: 0,
        run_as: None,
    });
    let attacker = Attacker::start(move || {
        for (name, decoy) in &pairs {
            exchange(name, decoy);
        }
    });
    let spool = ground.ours.with_file_name("spool");
    let mut taken = 0;
    let mut round = 0;
    while attacker.goes_on(round, taken > 0) {
        round += 1;
        if let Ok(prepared) = prepare(&binding, None, &spool, &bounds()) {
            taken += 1;
            assert!(!holds_secret(&prepared.source), "root's file was read");
        }
    }
    assert!(attacker.end() > ROUNDS, "the attacker was not fast enough");
    assert!(taken > 0, "nothing was ever taken");
    ground.assert_untouched();
}

#[test]
fn databases_of_others_are_copied_from_the_file_that_was_opened() {
    let ground = Ground::new();
    let live = ground.theirs.join("live");
    fs::create_dir(&live).unwrap();
    let make = |path: &Path, text: &str| {
        let sql = format!("create table t (x); insert into t values ('{text}');");
        let made = std::process::Command::new("sqlite3")
            .arg(path)
            .arg(sql)
            .status();
        assert!(made.unwrap().success());
    };
    let secret = ground.ours.with_file_name("secret.db");
    make(&secret, SECRET.trim_end());
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    make(&live.join("app.db"), "theirs");
    let mut pairs = Vec::new();
    for (name, decoy) in [
        ("app.db", "decoy"),
        ("app.db-wal", "decoy-wal"),
        ("app.db-journal", "decoy-journal"),
    ] {
        let (name, decoy) = (live.join(name), live.join(decoy));
        symlink(&secret, &decoy).unwrap();
        Ground::give(&decoy);
        if name.exists() {
            Ground::give(&name);
        }
        pairs.push((name, decoy));
    }
    Ground::give(&live);
    let binding = Binding::Sqlite(SqliteBinding {
        path: live.join("app.db"),
        allow_empty: false,
        run_as: None,
    });
    let attacker = Attacker::start(move || {
        let mut pairs = pairs.iter();
        if let Some((name, decoy)) = pairs.next() {
            exchange(name, decoy);
        }
        for (name, decoy) in pairs {
            let _ = fs::rename(decoy, name);
            let _ = fs::rename(name, decoy);
        }
    });
    let spool = ground.ours.with_file_name("spool");
    let mut taken = 0;
    let mut round = 0;
    while attacker.goes_on(round, taken > 0) {
        round += 1;
        if let Ok(prepared) = prepare(&binding, None, &spool, &bounds()) {
            taken += 1;
            assert!(!holds_secret(&prepared.source), "root's database was read");
        }
    }
    assert!(attacker.end() > ROUNDS, "the attacker was not fast enough");
    assert!(taken > 0, "nothing was ever taken");
    ground.assert_untouched();
}

#[test]
fn a_dataset_that_becomes_a_link_is_never_read_through_it() {
    let ground = Ground::new();
    let live = ground.theirs.join("live");
    fs::create_dir(&live).unwrap();
    fs::write(live.join("a"), "theirs").unwrap();
    let decoy = ground.theirs.join("decoy");
    symlink(&ground.ours, &decoy).unwrap();
    for path in [&live, &live.join("a"), &decoy] {
        Ground::give(path);
    }
    let identity = fingerprint(&files_at(&live), &bounds()).unwrap();
    let attacker = Attacker::start({
        let live = live.clone();
        move || exchange(&live, &decoy)
    });
    let (mut taken, mut refused) = (0, 0);
    let allowed = [
        code::SOURCE_UNTRUSTED,
        code::SOURCE_MISSING,
        // It was a link when it was opened, and is a folder again when it is asked what it is.
        code::BINDING_INVALID,
    ];
    let mut round = 0;
    while attacker.goes_on(round, taken > 0 && refused > 0) {
        round += 1;
        match prepare(&files_at(&live), None, Path::new("/nonexistent"), &bounds()) {
            Ok(prepared) => {
                taken += 1;
                let opened = prepared.identity.unwrap();
                let text = format!("inode:{}:{}", opened.device, opened.inode);
                assert_eq!(text, identity.to_string(), "another folder was walked");
                assert_eq!(prepared.expected_items, 1);
            }
            Err(error) => {
                refused += 1;
                assert!(allowed.contains(&error.code()), "{error}");
            }
        }
    }
    assert!(attacker.end() > ROUNDS, "the attacker was not fast enough");
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
    ground.assert_untouched();
}

/// What a restore gives back, with modes that would show on a file of root.
fn material(ground: &Ground) -> PathBuf {
    let from = ground.ours.with_file_name("from");
    fs::create_dir_all(from.join("inside")).unwrap();
    for name in ["secret", "inside/a"] {
        fs::write(from.join(name), "restored").unwrap();
        fs::set_permissions(
            from.join(name),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )
        .unwrap();
        Ground::give(&from.join(name));
    }
    fs::set_permissions(
        from.join("inside"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    Ground::give(&from.join("inside"));
    from
}

/// Puts something of root under every name that a restore makes in a folder of `nobody`, again and again.
fn exchange_all(folder: PathBuf, ours: PathBuf) -> Attacker {
    let decoy = folder.with_file_name("decoy-link");
    Attacker::start(move || {
        let _ = symlink(ours.join("empty"), &decoy);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().contains("seawall") || name == "inside" || name == "secret" {
                exchange(&entry.path(), &decoy);
                exchange(&entry.path(), &decoy);
            }
        }
    })
}

fn clear(folder: &Path, except: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() == except {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir_all(entry.path());
        } else {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[test]
fn an_export_into_a_folder_of_others_touches_nothing_else() {
    let ground = Ground::new();
    let from = material(&ground);
    let outer = ground.theirs.join("outer");
    fs::create_dir(&outer).unwrap();
    Ground::give(&outer);
    let attacker = exchange_all(outer.clone(), ground.ours.clone());
    let binding = files_at(&ground.ours.with_file_name("elsewhere"));
    let mut done = 0;
    let mut round = 0;
    while attacker.goes_on(round, done > 0) {
        round += 1;
        // By turns into a folder that does not exist, and into one that is there and belongs to others.
        let target = if round % 2 == 0 {
            outer.join("out")
        } else {
            outer.clone()
        };
        let mode = Mode::SideBySide {
            target: target.to_str().unwrap().to_owned(),
        };
        let material = Material {
            folder: &from,
            manifest: None,
        };
        done += u32::from(restore(&binding, material, &mode, &bounds()).is_ok());
        clear(&outer, "");
    }
    assert!(attacker.end() > ROUNDS, "the attacker was not fast enough");
    assert!(done > 0, "no restore ever ended well");
    ground.assert_untouched();
}

#[test]
fn a_restore_in_place_below_a_folder_of_others_touches_nothing_else() {
    let ground = Ground::new();
    let from = material(&ground);
    let outer = ground.theirs.join("outer");
    let live = outer.join("live");
    fs::create_dir_all(&live).unwrap();
    Ground::give(&outer);
    Ground::give(&live);
    let attacker = exchange_all(outer.clone(), ground.ours.clone());
    let mut done = 0;
    let mut round = 0;
    while attacker.goes_on(round, done > 0) {
        round += 1;
        let mode = Mode::InPlace {
            restore_id: format!("r{round}"),
        };
        let material = Material {
            folder: &from,
            manifest: None,
        };
        done += u32::from(restore(&files_at(&live), material, &mode, &bounds()).is_ok());
        clear(&outer, "live");
    }
    assert!(attacker.end() > ROUNDS, "the attacker was not fast enough");
    assert!(done > 0, "no restore ever ended well");
    ground.assert_untouched();
}
