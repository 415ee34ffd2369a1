//! The second door: time, order and weakening.

use contract::code::{self, Code};
use contract::digest::Digest;
use contract::seal::{
    Accepted, BundlePredicate, LastAccepted, Novelty, Refusal, Serial, Standing, Weakening, accept,
    reopen,
};

use super::{at, predicate, root, sealed, sealed_under};

const NOW: &str = "2026-11-21T00:00:00Z";
const OWNERS: &[&str] = &["ci", "olga", "omar"];

fn last(serial: u64) -> LastAccepted {
    LastAccepted {
        serial: Serial::new(serial).unwrap(),
        payload: Digest::of(b"last"),
        root_version: 1,
    }
}

fn try_accept(
    predicate: BundlePredicate,
    keys: &[&str],
    last: Option<LastAccepted>,
    weakening: &Weakening,
    now: &str,
) -> Result<Accepted, Refusal> {
    accept(
        sealed(predicate, keys).open().unwrap(),
        last.as_ref(),
        |_| weakening.clone(),
        at(now),
    )
}

fn check(code: Code, predicate: BundlePredicate, last_serial: u64, now: &str) {
    let refusal = try_accept(
        predicate,
        OWNERS,
        Some(last(last_serial)),
        &Weakening::Nothing,
        now,
    )
    .unwrap_err();
    assert_eq!(refusal.code(), code, "{refusal}");
}

fn following(serial: u64) -> BundlePredicate {
    predicate(serial, Some(Digest::of(b"last")))
}

#[test]
fn the_next_bundle_is_accepted_fresh() {
    let accepted = try_accept(
        following(5),
        &["ci"],
        Some(last(4)),
        &Weakening::Nothing,
        NOW,
    )
    .unwrap();
    assert_eq!(
        (accepted.standing(), accepted.novelty()),
        (Standing::Fresh, Novelty::Next)
    );
    assert_eq!(accepted.remember().serial.get(), 5);
    assert_eq!(accepted.remember().payload, *accepted.bundle().identity());
}

#[test]
fn order_is_kept() {
    check(code::SERIAL_REPLAYED, following(3), 4, NOW);
    check(code::SERIAL_FORKED, following(4), 4, NOW);
    check(
        code::PREVIOUS_MISMATCH,
        predicate(5, Some(Digest::of(b"another history"))),
        4,
        NOW,
    );
    // Two ahead: what lies between was never seen here.
    let unseen = predicate(6, Some(Digest::of(b"unseen")));
    try_accept(unseen, &["ci"], Some(last(4)), &Weakening::Nothing, NOW).unwrap();
    // After the largest serial nothing follows, and nothing overflows.
    let largest = contract::canonical::INTEGER_LIMIT - 1;
    check(code::SERIAL_REPLAYED, following(5), largest, NOW);
    check(code::SERIAL_FORKED, following(largest), largest, NOW);
    check(
        code::PREVIOUS_MISMATCH,
        predicate(largest, Some(Digest::of(b"x"))),
        largest - 1,
        NOW,
    );
}

#[test]
fn time_is_kept() {
    check(
        code::BUNDLE_EXPIRED,
        following(5),
        4,
        "2026-12-20T00:00:00Z",
    );
    try_accept(
        following(5),
        &["ci"],
        Some(last(4)),
        &Weakening::Nothing,
        "2026-12-19T23:59:59Z",
    )
    .unwrap();
    // Up to five minutes ahead is taken for a difference of clocks.
    check(
        code::BUNDLE_FROM_THE_FUTURE,
        following(5),
        4,
        "2026-11-19T23:54:59Z",
    );
    try_accept(
        following(5),
        &["ci"],
        Some(last(4)),
        &Weakening::Nothing,
        "2026-11-19T23:55:00Z",
    )
    .unwrap();
    check(
        code::BUNDLE_FROM_THE_FUTURE,
        following(5),
        4,
        "1970-01-01T00:00:00Z",
    );
    let mut long = following(5);
    long.expires_at = at("2030-01-01T00:00:00Z");
    check(code::ROOT_EXPIRED, long, 4, "2027-01-01T00:00:00Z");
}

#[test]
fn weakening_needs_two_owners() {
    let weaker = Weakening::Weaker(vec!["`bp_gold` keeps 7 d less".into()]);
    for keys in [
        &["ci"][..],
        &["ci", "olga"],
        &["ci", "olga", "olga-2"],
        &["ci", "olga", "rec-1"],
    ] {
        let refusal = try_accept(following(5), keys, Some(last(4)), &weaker, NOW).unwrap_err();
        assert_eq!(refusal.code(), code::WEAKENING_UNSIGNED, "{keys:?}");
        assert!(
            refusal.to_string().contains("`bp_gold` keeps 7 d less"),
            "{refusal}"
        );
    }
    try_accept(following(5), OWNERS, Some(last(4)), &weaker, NOW).unwrap();
}

#[test]
fn weakening_is_what_the_models_say() {
    let zones = contract::calendar::Zones::bundled();
    let applied = super::model();
    assert_eq!(
        Weakening::between(&applied, &applied, &zones),
        Weakening::Nothing
    );
    let mut longer = applied.clone();
    longer.environment.bundle_validity_s = contract::duration::Seconds::days(60);
    let Weakening::Weaker(what) = Weakening::between(&applied, &longer, &zones) else {
        panic!("a bundle that is valid for longer is weaker")
    };
    assert!(what[0].contains("bundle_validity_s"), "{what:?}");
    assert_eq!(
        Weakening::between(&longer, &applied, &zones),
        Weakening::Nothing
    );
    // Many weakenings are told in one line that ends.
    let many = Weakening::Weaker((0..500).map(|i| format!("`plans/bp_{i}`")).collect());
    let refusal = try_accept(following(5), &["ci"], Some(last(4)), &many, NOW).unwrap_err();
    let told = refusal.to_string();
    assert!(
        told.contains("`plans/bp_2` and 497 more") && !told.contains("bp_3"),
        "{told}"
    );
}

#[test]
fn no_baseline_counts_as_weakening() {
    let refusal =
        try_accept(predicate(1, None), &["ci"], None, &Weakening::Nothing, NOW).unwrap_err();
    assert_eq!(refusal.code(), code::WEAKENING_UNSIGNED, "{refusal}");
    let accepted = try_accept(predicate(1, None), OWNERS, None, &Weakening::Nothing, NOW).unwrap();
    assert_eq!(accepted.novelty(), Novelty::First);
    // A reconciler that comes later begins with the bundle that stands there then.
    try_accept(following(7), OWNERS, None, &Weakening::Nothing, NOW).unwrap();
}

#[test]
fn the_last_accepted_bundle_grows_stale_and_is_never_refused() {
    let first = try_accept(predicate(1, None), OWNERS, None, &Weakening::Nothing, NOW).unwrap();
    let remembered = first.remember();
    for (now, standing) in [
        (NOW, Standing::Fresh),
        ("2026-12-20T00:00:00Z", Standing::Stale),
        ("2027-06-01T00:00:00Z", Standing::Stale),
        ("2026-01-01T00:00:00Z", Standing::Stale),
    ] {
        let again = reopen(first.bundle().clone(), &remembered, at(now)).unwrap();
        assert_eq!(
            (again.standing(), again.novelty()),
            (standing, Novelty::Same),
            "{now}"
        );
        // Fetched once more it is the same, and needs no owners: nothing changes.
        let fetched = accept(
            first.bundle().clone(),
            Some(&remembered),
            |_| Weakening::Nothing,
            at(now),
        )
        .unwrap();
        assert_eq!(
            (fetched.standing(), fetched.novelty()),
            (standing, Novelty::Same),
            "{now}"
        );
    }
    let other = LastAccepted {
        payload: Digest::of(b"other"),
        ..remembered
    };
    let refusal = reopen(first.bundle().clone(), &other, at(NOW)).unwrap_err();
    assert_eq!(refusal.code(), code::NOT_LAST_ACCEPTED);
}

#[test]
fn an_older_root_is_refused() {
    let seen = LastAccepted {
        root_version: 2,
        ..last(4)
    };
    let refusal =
        try_accept(following(5), OWNERS, Some(seen), &Weakening::Nothing, NOW).unwrap_err();
    assert_eq!(refusal.code(), code::ROOT_ROLLED_BACK);
    let mut renamed = root();
    renamed.version = 2;
    let newer = sealed_under(&renamed, following(5), &["ci"])
        .open()
        .unwrap();
    accept(newer, Some(&seen), |_| Weakening::Nothing, at(NOW)).unwrap();
}

#[test]
fn a_clock_below_the_newest_receipt_makes_stale() {
    let accepted = || {
        try_accept(
            following(5),
            &["ci"],
            Some(last(4)),
            &Weakening::Nothing,
            NOW,
        )
        .unwrap()
    };
    let standing = |newest: Option<&str>| {
        accepted()
            .doubting_the_clock(newest.map(at), at(NOW))
            .standing()
    };
    assert_eq!(standing(None), Standing::Fresh);
    assert_eq!(standing(Some("2026-11-21T00:05:00Z")), Standing::Fresh);
    assert_eq!(standing(Some("2026-11-21T00:05:01Z")), Standing::Stale);
}
