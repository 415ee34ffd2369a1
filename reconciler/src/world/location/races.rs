//! A race against the owner of a location, who exchanges its folders and its mark for links to root's while root reads and
//! writes there: 1,000 rounds.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use bytes::Bytes;

use super::{Mark, Reply, Tail, checkpoint, copy_receipts, may_copy, probe, read_mark};
use crate::world::attack::{Attacker, Ground, ROUNDS, SECRET, exchange};
use crate::world::folder::Folder;
use crate::world::vault::{Kind, MARK_FILE, Object, Place};

const REPOSITORY: &str = "dev/bp_files/k1";
const RECEIPTS: &str = "dev/receipts/rec";

fn mark(identity: &str) -> Mark {
    Mark {
        location_id: "near".parse().unwrap(),
        identity: identity.to_owned(),
    }
}

fn pack(first: &str) -> Object {
    Object {
        kind: Kind::Pack,
        name: format!("00{}", first.repeat(62)),
    }
}

/// A repository with one pack, a copy of receipts and a mark, all below a folder.
fn location(at: &Path, content: &str, identity: &str) {
    let group = at.join(REPOSITORY).join("data/00");
    let receipts = at.join(RECEIPTS);
    fs::create_dir_all(&group).unwrap();
    fs::create_dir_all(&receipts).unwrap();
    fs::write(group.join(pack("0").name), content).unwrap();
    fs::write(receipts.join("receipts.jsonl"), content).unwrap();
    fs::write(receipts.join("checkpoint"), content).unwrap();
    let mark = serde_json::to_vec(&mark(identity)).unwrap();
    fs::write(at.join(MARK_FILE), mark).unwrap();
}

fn count(ended: &mut [[u64; 2]; 5], call: usize, is_done: bool) {
    if let Some(counts) = ended.get_mut(call) {
        counts[usize::from(!is_done)] += 1;
    }
}

fn is_secret(content: &[u8]) -> bool {
    let needle = b"secret";
    content.windows(needle.len()).any(|part| part == needle)
}

#[test]
fn a_location_of_others_is_used_where_it_was_opened() {
    let ground = Ground::with(|ours| {
        location(&ours.join("location"), SECRET, "root");
        let modes = fs::Permissions::from_mode(0o600);
        fs::set_permissions(ours.join("location").join(MARK_FILE), modes).unwrap();
    });
    let near = ground.theirs.join("near");
    location(&near, "theirs", "theirs");
    let mut pairs = Vec::new();
    for (number, below) in [
        REPOSITORY,
        &format!("{REPOSITORY}/data/00"),
        RECEIPTS,
        MARK_FILE,
    ]
    .into_iter()
    .enumerate()
    {
        let decoy = ground.theirs.join(format!("decoy{number}"));
        symlink(ground.ours.join("location").join(below), &decoy).unwrap();
        Ground::give(&decoy);
        pairs.push((near.join(below), decoy));
    }
    for entry in walkdir::WalkDir::new(&near) {
        Ground::give(entry.unwrap().path());
    }
    let from = ground.ours.with_file_name("from");
    fs::create_dir(&from).unwrap();
    for name in ["receipts.jsonl", "checkpoint"] {
        fs::write(from.join(name), "ours").unwrap();
    }
    let store = Place::folder(near.clone()).store(REPOSITORY);
    let attacker = Attacker::start(move || {
        for (name, decoy) in &pairs {
            exchange(name, decoy);
        }
    });
    // How often each call came to its end, and how often it was refused.
    let mut ended = [[0_u64; 2]; 5];
    let (mut left, mut appended) = (None, 0_u64);
    let mut round = 0;
    while attacker.goes_on(
        round,
        appended > 0 && ended.iter().flatten().all(|count| *count > 0),
    ) {
        round += 1;
        let read = store.read(&pack("0"));
        count(&mut ended, 0, read.is_ok());
        assert!(
            !is_secret(&read.unwrap_or_default()),
            "root's pack was read"
        );
        let listed = store.list(Kind::Pack).unwrap_or_default();
        count(&mut ended, 1, !listed.is_empty());
        let sizes = listed.values();
        assert!(
            sizes.copied().all(|size| size != SECRET.len() as u64),
            "root's packs were listed"
        );
        let written = store.write(&pack("1"), &[Bytes::from_static(b"ours")]);
        count(&mut ended, 2, written.is_ok());
        let root = Folder::open(&near).unwrap();
        match read_mark(&root) {
            Ok(Some(found)) => {
                count(&mut ended, 3, true);
                assert_eq!(found, mark("theirs"), "root's mark was read");
            }
            Ok(None) | Err(_) => count(&mut ended, 3, false),
        }
        probe(&root).unwrap();
        let note = checkpoint(&root, Path::new(RECEIPTS));
        if let Ok(note) = note {
            let text = note.as_deref().unwrap_or_default();
            assert!(!is_secret(text.as_bytes()), "root's receipts were read");
            let mark = mark("theirs");
            let below = Path::new(RECEIPTS);
            let may = may_copy(&root, Some(&mark), below, note.as_deref());
            // Appended to where it is as it was left, else written anew; both must stay where they are.
            let tail = left.take().map(|left| Tail {
                left,
                skip: 0,
                line: 0,
            });
            let copied = copy_receipts(&root, below, &from, tail.as_ref());
            count(&mut ended, 4, may.is_ok() && copied.is_ok());
            if let Ok(Reply::Copied(seen)) = copied {
                appended += u64::from(tail.is_some());
                left = Some(seen);
            }
        }
    }
    assert!(
        appended > 0 && appended < round,
        "copies appended to and written anew: {appended}"
    );
    assert!(attacker.end() > ROUNDS, "the attacker was not fast enough");
    assert!(
        ended.iter().flatten().all(|count| *count > 0),
        "done and refused: {ended:?}"
    );
    ground.assert_untouched();
}
