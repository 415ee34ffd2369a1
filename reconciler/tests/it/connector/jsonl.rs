//! The `jsonl` connector.

use std::fs;

use contract::code;
use reconciler::world::connector::{
    self, Binding, ConnectorError, JsonlBinding, Material, Mode, Prepared, Target, Verdict,
};
use serde_json::Value;

use super::{Scratch, bounds, jsonl_at, restore, same_tree, side_by_side};

#[test]
fn jsonl_takes_whole_lines_and_goes_on_from_there() {
    let scratch = Scratch::new();
    let log = scratch.live.join("a.jsonl");
    fs::write(&log, "{\"n\":1}\n{\"n\":2}\n{\"n\":").unwrap();
    fs::write(scratch.live.join("other.txt"), "x").unwrap();
    let binding = Binding::Jsonl(jsonl_at(&scratch.live));

    let prepared = scratch.prepare(&binding, None).unwrap();
    assert!(!prepared.stable);
    assert_eq!(
        fs::read_to_string(prepared.source.join("a.jsonl")).unwrap(),
        "{\"n\":1}\n{\"n\":2}\n"
    );
    assert_eq!(fs::read_dir(&prepared.source).unwrap().count(), 1);
    let checks = connector::validate(
        &binding,
        &Target::Path(prepared.source.clone()),
        prepared.manifest.as_ref(),
        &bounds(),
    )
    .unwrap();
    assert!(
        checks.iter().all(connector::Check::has_passed),
        "{checks:?}"
    );
    // The writer goes on while the vault reads; that changes nothing.
    fs::write(&log, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n").unwrap();
    let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
    assert_eq!(finished.verdict, Verdict::Complete);
    assert!(
        finished.notes[0].contains("5 bytes of an unfinished line"),
        "{:?}",
        finished.notes
    );

    let second = scratch.prepare(&binding, finished.state.as_ref()).unwrap();
    assert_eq!(second.expected_bytes, 24);
    assert!(
        connector::finish(&binding, second, &bounds())
            .unwrap()
            .notes
            .is_empty()
    );
}

#[test]
fn jsonl_raises_the_alarm_for_a_prefix_that_shrank_changed_or_vanished() {
    let scratch = Scratch::new();
    let log = scratch.live.join("a.jsonl");
    fs::write(&log, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let binding = Binding::Jsonl(jsonl_at(&scratch.live));
    let state = scratch.backup(&binding, None).unwrap().state;

    for tampered in [
        "{\"n\":1}\n",
        "{\"n\":1}\n{\"n\":9}\n",
        "{\"n\":1}\n{\"n\":2} ",
        "{\"n\":0}\n{\"n\":2}\n{\"n\":3}\n",
    ] {
        fs::write(&log, tampered).unwrap();
        let prepared = alarmed(&scratch, &binding, state.as_ref());
        // Nothing is lost: it is stored as it is now, and the next run looks for the same lines again.
        let stored = fs::read_to_string(prepared.source.join("a.jsonl")).unwrap();
        let whole = tampered.rfind('\n').map_or(0, |end| end + 1);
        assert_eq!(stored, tampered[..whole]);
        let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
        assert_eq!(finished.verdict, Verdict::Complete);
        let doubt = finished.doubt.unwrap();
        assert!(doubt.starts_with("SW1508"), "{doubt}");
        assert_eq!(finished.state, state);
    }
    let accepted = Binding::Jsonl(JsonlBinding {
        append_only_epoch: 1,
        ..jsonl_at(&scratch.live)
    });
    let finished = scratch.backup(&accepted, state.as_ref()).unwrap();
    assert!(
        finished.notes[0].contains("epoch 1"),
        "a person's acceptance is told: {:?}",
        finished.notes
    );
    let error = scratch
        .prepare(&binding, finished.state.as_ref())
        .unwrap_err();
    assert_eq!(
        error.code(),
        code::STATE_INVALID,
        "an epoch that goes back is not an acceptance"
    );

    fs::write(&log, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    fs::rename(&log, scratch.live.join("b.jsonl")).unwrap();
    let prepared = alarmed(&scratch, &binding, state.as_ref());
    assert!(prepared.source.join("b.jsonl").exists());
    let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
    let kept = finished.state.unwrap();
    assert_eq!(
        kept["files"]["a.jsonl"],
        state.as_ref().unwrap()["files"]["a.jsonl"]
    );
    let rotating = Binding::Jsonl(JsonlBinding {
        rotates: true,
        ..jsonl_at(&scratch.live)
    });
    assert_eq!(
        scratch.backup(&rotating, state.as_ref()).unwrap().verdict,
        Verdict::Complete
    );
    let error = scratch
        .prepare(&binding, Some(&serde_json::json!({"format": 1})))
        .unwrap_err();
    assert_eq!(error.code(), code::STATE_INVALID);
}

/// A run that stores its source and raises the alarm.
fn alarmed(scratch: &Scratch, binding: &Binding, state: Option<&Value>) -> Prepared {
    let prepared = scratch.prepare(binding, state).unwrap();
    let codes: Vec<_> = prepared.doubts.iter().map(ConnectorError::code).collect();
    assert_eq!(codes, [code::PREFIX_REWRITTEN]);
    prepared
}

#[test]
fn jsonl_that_is_rewritten_while_it_is_backed_up_gets_no_verdict() {
    let scratch = Scratch::new();
    let log = scratch.live.join("a.jsonl");
    fs::write(&log, "{\"n\":1}\n").unwrap();
    let binding = Binding::Jsonl(jsonl_at(&log));
    let prepared = scratch.prepare(&binding, None).unwrap();
    fs::write(&log, "{\"n\":7}\n").unwrap();
    let error = connector::finish(&binding, prepared, &bounds()).unwrap_err();
    assert_eq!(error.code(), code::PREFIX_REWRITTEN);
}

#[test]
fn jsonl_comes_back_side_by_side_and_never_in_place() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{\"n\":1}\nnot json\n").unwrap();
    let binding = Binding::Jsonl(jsonl_at(&scratch.live));
    let prepared = scratch.prepare(&binding, None).unwrap();
    restore(
        &binding,
        &prepared.source,
        &side_by_side(&scratch.path("beside")),
    )
    .unwrap();
    same_tree(&scratch.live, &scratch.path("beside"));
    let checks = connector::validate(
        &binding,
        &Target::Path(scratch.path("beside")),
        None,
        &bounds(),
    )
    .unwrap();
    assert!(
        !checks[0].has_passed(),
        "a line that is no JSON is told: {checks:?}"
    );
    let error = restore(
        &binding,
        &prepared.source,
        &Mode::InPlace {
            restore_id: "r".to_owned(),
        },
    )
    .unwrap_err();
    assert_eq!(error.code(), code::MODE_UNSUPPORTED);
}

#[test]
fn content_that_contradicts_its_manifest_is_not_handed_over() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{\"n\":1}\n").unwrap();
    let binding = Binding::Jsonl(jsonl_at(&scratch.live));
    let prepared = scratch.prepare(&binding, None).unwrap();
    let target = scratch.path("beside");
    let restored = || {
        let material = Material {
            folder: &prepared.source,
            manifest: prepared.manifest.as_ref(),
        };
        connector::restore(&binding, material, &side_by_side(&target), &bounds())
    };
    // Another line of the same length: only the checksum can tell.
    fs::write(prepared.source.join("a.jsonl"), "{\"n\":2}\n").unwrap();
    let error = restored().unwrap_err();
    assert_eq!(error.code(), code::VALIDATION_FAILED, "{error}");
    assert!(!target.exists(), "nothing half-made is left");
    fs::write(prepared.source.join("a.jsonl"), "{\"n\":1}\n").unwrap();
    restored().unwrap();
    same_tree(&scratch.live, &target);
}

#[test]
fn a_spool_that_loses_a_file_gets_no_verdict() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{}\n").unwrap();
    let binding = Binding::Jsonl(jsonl_at(&scratch.live));
    let prepared = scratch.prepare(&binding, None).unwrap();
    fs::remove_file(prepared.source.join("a.jsonl")).unwrap();
    assert_eq!(
        connector::finish(&binding, prepared, &bounds())
            .unwrap_err()
            .code(),
        code::SOURCE_CHANGED
    );
}

fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// One run of a rotating dataset: what the point holds, by name, and the state for the next run.
fn rotated(scratch: &Scratch, state: Option<&Value>) -> (Vec<(String, String)>, Value) {
    let binding = Binding::Jsonl(JsonlBinding {
        rotates: true,
        ..jsonl_at(&scratch.live)
    });
    let prepared = scratch.prepare(&binding, state).unwrap();
    let mut held: Vec<(String, String)> = fs::read_dir(&prepared.source)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    held.sort();
    let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
    assert_eq!(finished.verdict, Verdict::Complete);
    assert_eq!(finished.doubt, None, "a rotation is no alarm");
    (held, finished.state.unwrap())
}

#[test]
fn jsonl_under_logrotate_gives_points_that_hold_every_line() {
    let scratch = Scratch::new();
    let log = scratch.live.join("app.jsonl");
    fs::write(&log, lines(1..=100)).unwrap();
    let (_, state) = rotated(&scratch, None);

    // Written to once more, renamed, and a new and shorter file made, as logrotate does by default.
    fs::write(&log, lines(1..=102)).unwrap();
    let one = scratch.live.join("app.jsonl.1");
    fs::rename(&log, &one).unwrap();
    fs::write(&log, lines(103..=103)).unwrap();
    let (held, state) = rotated(&scratch, Some(&state));
    let wanted = [
        ("app.jsonl".to_owned(), lines(103..=103)),
        ("app.jsonl.1".to_owned(), lines(1..=102)),
    ];
    assert_eq!(held, wanted);

    // A number further, the oldest compressed; a run was missed, so that `.1` was never seen.
    let two = scratch.live.join("app.jsonl.2");
    fs::rename(&one, &two).unwrap();
    fs::rename(&two, scratch.live.join("app.jsonl.3.gz")).unwrap();
    fs::rename(&log, &two).unwrap();
    fs::write(&one, lines(104..=104)).unwrap();
    fs::write(&log, lines(105..=105)).unwrap();
    let (held, state) = rotated(&scratch, Some(&state));
    let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
    // What was known goes on under any name, even one that no glob wants.
    assert_eq!(
        names,
        ["app.jsonl", "app.jsonl.1", "app.jsonl.2", "app.jsonl.3.gz"]
    );

    // A date in place of a number.
    fs::rename(&log, scratch.live.join("app.jsonl-20261128")).unwrap();
    fs::write(&log, lines(106..=106)).unwrap();
    let (held, state) = rotated(&scratch, Some(&state));
    assert!(
        held.iter()
            .any(|(name, text)| name == "app.jsonl-20261128" && *text == lines(105..=105)),
        "{held:?}"
    );

    // Rotated away for good: what has its name now is another file, and no reason for an alarm.
    let new = scratch.live.join("new");
    fs::write(&new, lines(2..=2)).unwrap();
    fs::rename(&new, &log).unwrap();
    let (held, _) = rotated(&scratch, Some(&state));
    assert!(
        held.iter()
            .any(|(name, text)| name == "app.jsonl" && *text == lines(2..=2)),
        "{held:?}"
    );
}

#[test]
fn jsonl_that_is_copied_and_emptied_gives_points() {
    let scratch = Scratch::new();
    let log = scratch.live.join("app.jsonl");
    fs::write(&log, lines(1..=9)).unwrap();
    let (_, state) = rotated(&scratch, None);
    // `copytruncate`: the copy is a new file, the old one is emptied and goes on.
    fs::copy(&log, scratch.live.join("app.jsonl.1")).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(0)
        .unwrap();
    let (held, state) = rotated(&scratch, Some(&state));
    assert_eq!(held[1], ("app.jsonl.1".to_owned(), lines(1..=9)));
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(lines(10..=12).as_bytes()).unwrap();
    let (held, _) = rotated(&scratch, Some(&state));
    assert_eq!(held[0], ("app.jsonl".to_owned(), lines(10..=12)));
}

#[test]
fn jsonl_that_is_rewritten_stays_an_alarm_where_files_are_rotated() {
    let scratch = Scratch::new();
    let log = scratch.live.join("app.jsonl");
    fs::write(&log, lines(1..=9)).unwrap();
    let (_, state) = rotated(&scratch, None);
    let binding = Binding::Jsonl(JsonlBinding {
        rotates: true,
        ..jsonl_at(&scratch.live)
    });
    // The same file, emptied or rewritten, and nobody has what it held.
    for text in [String::new(), lines(2..=9), lines(2..=20)] {
        fs::write(&log, &text).unwrap();
        let prepared = alarmed(&scratch, &binding, Some(&state));
        let stored = fs::read_to_string(prepared.source.join("app.jsonl")).unwrap();
        assert_eq!(stored, text);
        let finished = connector::finish(&binding, prepared, &bounds()).unwrap();
        assert_eq!(finished.state.as_ref(), Some(&state));
    }
    // Also under another name.
    fs::rename(&log, scratch.live.join("app.jsonl.1")).unwrap();
    let prepared = alarmed(&scratch, &binding, Some(&state));
    assert!(prepared.source.join("app.jsonl.1").exists());
}

#[test]
fn jsonl_states_without_inodes_are_followed_by_name() {
    let scratch = Scratch::new();
    let log = scratch.live.join("app.jsonl");
    fs::write(&log, lines(1..=2)).unwrap();
    let (_, mut state) = rotated(&scratch, None);
    state["format"] = 1.into();
    state["files"]["app.jsonl"]
        .as_object_mut()
        .unwrap()
        .remove("file");
    fs::write(&log, lines(1..=3)).unwrap();
    rotated(&scratch, Some(&state));
    fs::rename(&log, scratch.live.join("app.jsonl.1")).unwrap();
    let (held, _) = rotated(&scratch, Some(&state));
    assert_eq!(held.len(), 1);
}

#[test]
fn jsonl_leaves_links_pipes_and_odd_names_alone() {
    let scratch = Scratch::new();
    fs::write(scratch.live.join("a.jsonl"), "{}\n").unwrap();
    fs::write(scratch.path("secret"), "{\"secret\":1}\n").unwrap();
    std::os::unix::fs::symlink(scratch.path("secret"), scratch.live.join("b.jsonl")).unwrap();
    nix::unistd::mkfifo(&scratch.live.join("c.jsonl"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let binding = Binding::Jsonl(jsonl_at(&scratch.live));
    let prepared = scratch.prepare(&binding, None).unwrap();
    assert_eq!(prepared.expected_items, 1);
    for name in ["b.jsonl", "c.jsonl"] {
        let one = Binding::Jsonl(jsonl_at(&scratch.live.join(name)));
        assert!(
            scratch.prepare(&one, None).is_err() || name == "b.jsonl",
            "{name}"
        );
    }
}
