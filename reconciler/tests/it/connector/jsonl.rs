//! The `jsonl` connector.

use std::fs;

use contract::code;
use reconciler::world::connector::{self, Binding, JsonlBinding, Material, Mode, Target, Verdict};

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
        let error = scratch.prepare(&binding, state.as_ref()).unwrap_err();
        assert_eq!(error.code(), code::PREFIX_REWRITTEN, "{tampered}");
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

    fs::rename(&log, scratch.live.join("b.jsonl")).unwrap();
    let error = scratch.prepare(&binding, state.as_ref()).unwrap_err();
    assert_eq!(error.code(), code::PREFIX_REWRITTEN);
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
