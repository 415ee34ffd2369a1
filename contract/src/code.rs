//! Owns the one list of diagnostic codes. A number is never used again for something else, and never means two things.
//! Never holds a message with values in it: those belong to the finding. The list is [`ALL`].

use std::fmt;

/// A diagnostic code: prints as `SW0301`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    number: u16,
    name: &'static str,
    summary: &'static str,
}

impl Code {
    /// The number, `301` for `SW0301`.
    pub const fn number(self) -> u16 {
        self.number
    }

    /// The kebab-case name, unique in the list.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// One line: what the code stands for.
    pub const fn summary(self) -> &'static str {
        self.summary
    }

    /// The family: 1 for parse and shape, 3 for proofs and rules, 14 for the vault …
    pub const fn family(self) -> u16 {
        self.number / 100
    }

    /// The code with this text form, if there is one.
    pub fn find(text: &str) -> Option<Self> {
        ALL.iter().copied().find(|code| code.to_string() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SW{:04}", self.number)
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::find(&text).ok_or_else(|| serde::de::Error::custom("no code of this version"))
    }
}

/// How much a finding weighs. An error stops signing; a warning is told.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Stops signing.
    Error,
    /// Told, stops nothing.
    Warning,
}

macro_rules! codes {
    ($($constant:ident = $number:literal $name:literal $summary:literal;)*) => {
        $(
            #[doc = $summary]
            pub const $constant: Code = Code { number: $number, name: $name, summary: $summary };
        )*
        /// Every code, in the order of the numbers.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    // 01 parse and shape
    INVALID_YAML = 101 "invalid-yaml" "the file is no YAML 1.2 that Seawall reads";
    DUPLICATE_KEY = 102 "duplicate-key" "a mapping has the same key twice";
    UNSUPPORTED_YAML = 103 "unsupported-yaml" "anchors, aliases, merge keys, tags and odd scalars are refused";
    INPUT_TOO_LARGE = 104 "input-too-large" "a file, a document or its nesting is larger than the limit";
    NOT_UTF8 = 105 "not-utf8" "the file is not UTF-8 text";
    UNKNOWN_KIND = 106 "unknown-kind" "a document has no kind, or one that does not exist";
    UNKNOWN_FIELD = 107 "unknown-field" "a document has a field that its kind does not know";
    MISSING_FIELD = 108 "missing-field" "a required field is absent and Defaults do not give it";
    WRONG_TYPE = 109 "wrong-type" "a value has the wrong type or form";
    INVALID_DURATION = 110 "invalid-duration" "a duration is not ISO 8601 of weeks, days, hours, minutes and seconds";
    INVALID_ID = 111 "invalid-id" "an id breaks the grammar of ids";
    INVALID_SCHEDULE = 112 "invalid-schedule" "a schedule's expression or zone cannot be read";
    UNREADABLE_PATH = 113 "unreadable-path" "a file of the tree cannot be taken: a symlink, a name that is not UTF-8, no permission";
    CONTRADICTING_FIELDS = 114 "contradicting-fields" "fields of one document exclude or demand each other";
    EMPTY_TREE = 115 "empty-tree" "the folder holds no policy document";
    EXPANSION_TOO_LARGE = 116 "expansion-too-large" "a few lines stand for more plans, slots, steps or environments than one run proves";

    // 02 resolve
    DUPLICATE_ID = 201 "duplicate-id" "two documents of one kind have the same id";
    UNKNOWN_REFERENCE = 202 "unknown-reference" "a reference names nothing that exists";
    MALFORMED_REFERENCE = 203 "malformed-reference" "a reference is not written as its field demands";
    REFERENCE_CYCLE = 204 "reference-cycle" "references lead back to where they began";
    WRONG_UNIT = 205 "wrong-unit" "a reference leads to a value of another kind or unit";
    UNKNOWN_ENVIRONMENT = 206 "unknown-environment" "the environment is not declared";
    OVERRIDE_REFUSED = 207 "override-refused" "an override changes what its settings document does not allow";
    MISSING_HEADER = 208 "missing-header" "the tree has not exactly one Snapshot, or more than one Defaults";
    INCONSISTENT_DOMAIN = 209 "inconsistent-domain" "one fault domain is placed under two parents";
    SPLIT_PLAN = 210 "split-plan" "the datasets of one plan belong to different reconcilers";
    EMPTY_SELECTION = 211 "empty-selection" "a plan selects no dataset";

    // 03 recovery facts and rules; each is the folder of a built-in rule
    RPO_COVERED = 301 "rpo-covered" "a dataset loses more than its objective allows in a loss that its tier survives";
    REDUNDANCY_MET = 302 "redundancy-met" "a plan's locations do not span the fault domains that its redundancy profile demands";
    NO_HARD_CODED_VALUES = 303 "no-hard-coded-values" "a policy number is written in place instead of referred to";
    CRITICAL_DATASETS_HAVE_PLAN = 304 "critical-datasets-have-plan" "a dataset of tier 0 or 1 has no plan";
    PLAN_DATASET_AGREE = 305 "plan-dataset-agree" "a plan and one of its datasets disagree on plane, eligibility, connector or reconciler";
    KEY_KNOWN_AND_IN_TIME = 306 "key-known-and-in-time" "a plan's key is unknown, or ends before the bundle does";
    SCHEDULE_CONDITIONS_HOLD = 307 "schedule-conditions-hold" "a plan's windows do not fit between its slots, or another condition of its schedule fails";
    RETENTION_KEEPS_ENOUGH = 308 "retention-keeps-enough" "retention forgets points that the worst-case loss counts on";
    PLAN_TARGETS_NOT_LOOSER = 309 "plan-targets-not-looser" "a plan promises less than its strictest dataset demands";
    RUNBOOK_SOUND = 310 "runbook-sound" "a runbook has a cycle, an unknown step, a gap, or takes longer than its objective";
    SCENARIO_CATALOGUE_COMPLETE = 311 "scenario-catalogue-complete" "a minimum scenario is missing, or a dataset of tier 0 or 1 stands in none";
    COPIES_RESPECT_RESIDENCY = 312 "copies-respect-residency" "a dataset or a copy of it resides where it may not";
    EXCLUDED_JUSTIFIED = 313 "excluded-justified" "a dataset is not backed up without a reason that holds";
    SEPARATION_OF_DUTIES = 314 "separation-of-duties" "one person could do what needs two";
    RTO_FEASIBLE = 315 "rto-feasible" "reading a dataset back takes longer than its objective allows";
    KEY_CUSTODY_SURVIVES = 316 "key-custody-survives" "a loss that a tier survives takes the key of every copy";
    IMMUTABILITY_EFFECTIVE = 317 "immutability-effective" "immutable copies are demanded, but nothing is locked or retention contradicts the lock";
    CRITICAL_DATA_TESTED = 318 "critical-data-tested" "data of tier 0 or 1 is not verified, test-restored or drilled";
    LOCATION_STANDS_AT_SITE = 319 "location-stands-at-site" "a location names another region or residency than its site";
    THREE_TWO_ONE_ONE_ZERO = 320 "three-two-one-one-zero" "data of tier 0 or 1 has fewer, nearer or weaker copies than 3-2-1-1-0 advises";
    STANDBY_SOUND = 321 "standby-sound" "a standby falls with its primary, lies too far behind, or is missing where a scenario fails over";
    GROUP_HOLDS_TOGETHER = 322 "group-holds-together" "a dataset of a group comes back older than the group may be, or without the others";
    RETENTION_WITHIN_LAW = 323 "retention-within-law" "recovery points are kept shorter or longer than governance says";
    ALERTS_REACH_SOMEBODY = 324 "alerts-reach-somebody" "a critical tier is not watched, or an alert policy tells nobody";
    ISOLATED_COPY = 325 "isolated-copy" "data of tier 0 or 1 has no locked copy in an account and behind a credential of its own";
    RETENTION_GOVERNED = 326 "retention-governed" "nothing says how long recovery points of a dataset must and may be kept";
    EVIDENCE_FRESH = 327 "evidence-fresh" "receipts do not show lately that a dataset has sound recovery points and comes back";
    EVIDENCE_WITHIN_TARGET = 328 "evidence-within-target" "receipts show that more could have been lost, or took longer, than policy allows";
    LOCATION_HOLDS_FORECAST = 329 "location-holds-forecast" "a location has no room for what its plans keep";
    KEY_NOT_IN_A_CIRCLE = 330 "key-not-in-a-circle" "a key hangs on data that it seals, or on data that nothing brings back";
    DRILLS_HELD = 332 "drills-held" "receipts do not show lately that a scenario's runbook was carried out";

    // 04 rules engine
    RULE_FAILED = 401 "rule-failed" "a rule erred, timed out or did not run; that is never a pass";
    RULE_INVALID = 402 "rule-invalid" "a rule cannot be loaded";
    RULE_TEST_FAILED = 403 "rule-test-failed" "a rule's test did not give what it demands";
    FINDING_INVALID = 404 "finding-invalid" "a rule produced a finding that has not the agreed shape";

    // 05 seal and trust
    KEY_UNREADABLE = 501 "key-unreadable" "a key cannot be read or is weak";
    SEAL_TOO_LARGE = 502 "seal-too-large" "a published file is larger, or there are more of them, than is ever read";
    ENVELOPE_INVALID = 503 "envelope-invalid" "a published file is no DSSE envelope";
    ROOT_NOT_PINNED = 504 "root-not-pinned" "no trust root has the pinned digest";
    ROOT_INVALID = 505 "root-invalid" "a trust root cannot be read or contradicts itself";
    ROOT_CHAIN_BROKEN = 506 "root-chain-broken" "a version of the trust root is missing, doubled or out of order";
    ROOT_UNSIGNED = 507 "root-unsigned" "too few persons signed a trust root";
    ROOT_EXPIRED = 508 "root-expired" "the newest trust root is past its end";
    ROOT_ROLLED_BACK = 509 "root-rolled-back" "the newest trust root is older than one seen before";
    ENVIRONMENT_NOT_TRUSTED = 510 "environment-not-trusted" "the trust root has no roles for the environment";
    UNSIGNED = 511 "unsigned" "a statement carries no signature by a key of the trust root";
    SIGNATURE_UNKNOWN = 512 "signature-unknown" "a signature was made by no key of the trust root, or was altered";
    THRESHOLD_MISSED = 513 "threshold-missed" "too few distinct persons with the role signed";
    PAYLOAD_TYPE = 514 "payload-type" "a signed payload is of another type";
    STATEMENT_INVALID = 515 "statement-invalid" "a signed statement cannot be read or contradicts itself";
    PREDICATE_TYPE = 516 "predicate-type" "a signed statement is of another kind";
    OTHER_ENVIRONMENT = 517 "other-environment" "a bundle is for another environment";
    OTHER_AUDIENCE = 518 "other-audience" "a bundle is for other reconcilers";
    ROOT_MISSING = 519 "root-missing" "a bundle was sealed under a newer trust root than is published";
    WRONG_SUBJECTS = 520 "wrong-subjects" "a statement does not speak of exactly the two files";
    FILE_LENGTH = 521 "file-length" "a published file is shorter or longer than stated";
    FILE_DIGEST = 522 "file-digest" "a published file has another digest than stated";
    FILE_NOT_CANONICAL = 523 "file-not-canonical" "a published file is not canonical JSON";
    BUNDLE_INVALID = 524 "bundle-invalid" "a bundle is of another format or for another environment inside";
    BUNDLE_EXPIRED = 525 "bundle-expired" "a new bundle is past its end";
    BUNDLE_FROM_THE_FUTURE = 526 "bundle-from-the-future" "a new bundle was issued later than the clock shows";
    SERIAL_REPLAYED = 527 "serial-replayed" "a bundle is older than the one accepted before";
    SERIAL_FORKED = 528 "serial-forked" "another bundle with the same serial was accepted before";
    PREVIOUS_MISMATCH = 529 "previous-mismatch" "a bundle does not follow the one accepted before";
    WEAKENING_UNSIGNED = 530 "weakening-unsigned" "too few owners signed a bundle that weakens protection or has no baseline";
    NOT_LAST_ACCEPTED = 531 "not-last-accepted" "the stored bundle is not the one that was accepted last";
    PUBLISH_FAILED = 532 "publish-failed" "a file cannot be written";
    FILE_UNREADABLE = 533 "file-unreadable" "a file or folder that a command needs cannot be read";
    FILE_EXISTS = 534 "file-exists" "a file that must not be replaced exists";
    TRUST_DESCRIPTION_INVALID = 535 "trust-description-invalid" "the description of persons and roles cannot be read or contradicts itself";
    REBUILD_DIFFERS = 536 "rebuild-differs" "the tree compiles to other bytes than were published";
    SCHEMA_STALE = 537 "schema-stale" "a written JSON Schema is not what the types say";
    BASE_UNREADABLE = 541 "base-unreadable" "the revision to compare with cannot be read from the repository";
    BASE_UNJUDGED = 542 "base-unjudged" "the tree of the revision to compare with gives no model, so its findings are not known";
    ARGUMENTS_CONTRADICT = 543 "arguments-contradict" "arguments of a command exclude each other or make no sense together";
    RUN_TOO_LONG = 544 "run-too-long" "a command took longer than it may and was ended";
    RUN_TOO_LARGE = 545 "run-too-large" "a command took more memory than it may and was ended";
    RUN_CRASHED = 546 "run-crashed" "a command ended without an answer: a panic, an abort, a full stack";

    // 06 waivers
    WAIVER_TARGET_UNKNOWN = 601 "waiver-target-unknown" "a waiver names something that the model does not have";
    NOT_WAIVABLE = 602 "not-waivable" "a waiver names a code that no waiver can accept";
    WAIVER_EXPIRED = 603 "waiver-expired" "a waiver is past its expiry and accepts nothing any more";
    WAIVER_BOUND_UNFIT = 604 "waiver-bound-unfit" "a waiver has no bound where its finding has a number, or a bound where it has none";
    WAIVER_UNUSED = 605 "waiver-unused" "a waiver accepts a finding that nothing gives";
    WAIVER_HYGIENE = 606 "waiver-hygiene" "a waiver gives no reason, lasts longer than policy allows, or repeats another";

    // 10 plan
    PLAN_UNBOUND = 1001 "plan-unbound" "the configuration does not bind a dataset, location or key that the plan needs";
    SOURCE_STALE = 1002 "source-stale" "the accepted bundle is past its time; only what protects continues";
    SLOT_OPEN = 1003 "slot-open" "a slot waits for its run";
    PLAN_OBJECTION = 1004 "plan-objection" "the review objects to a step; it is not executed";
    CONTINUOUS_UNSUPPORTED = 1005 "continuous-unsupported" "the plan wants continuous archiving, which no bound connector does";
    LOCATION_LAGGING = 1006 "location-lagging" "a location misses recovery points that others hold";
    LOCATION_UNKNOWN = 1007 "location-unknown" "a location cannot be inspected";
    POINT_SUSPECT = 1008 "point-suspect" "a recovery point is damaged at every location that holds it";
    NEVER_PROTECTED = 1009 "never-protected" "the plan has no usable recovery point yet";
    LAST_RUN_FAILED = 1010 "last-run-failed" "the plan's last run failed or was missed";
    CONNECTOR_TOO_WEAK = 1011 "connector-too-weak" "a bound connector declares less than policy relies on";
    CLOCK_WRONG = 1012 "clock-wrong" "the clock stands before the newest receipt or far after it";
    KEY_EXPIRED = 1013 "key-expired" "the plan's key may encrypt nothing any more";
    SCHEDULE_UNREADABLE = 1014 "schedule-unreadable" "the plan's schedule has no calendar";
    PLAN_SPLIT = 1015 "plan-split" "the datasets of the plan belong to different reconcilers";
    LOCATION_QUARANTINED = 1016 "location-quarantined" "a location holds objects that are not what their names say";
    POINT_UNVERIFIED = 1017 "point-unverified" "a recovery point waits for its check";
    POINT_LOST = 1018 "point-lost" "a recovery point of the catalog is at no location any more";
    CHECK_OVERDUE = 1019 "check-overdue" "a location was not read again before its next check was due";
    LOCATION_DAMAGED = 1020 "location-damaged" "a location holds damaged objects that no other location can replace";
    POLICY_UNHEEDED = 1021 "policy-unheeded" "the policy says what this version of the daemon does not do";
    RPO_MISSED = 1025 "rpo-missed" "the newest usable recovery point of a dataset is older than its RPO";
    NO_PLAN = 1026 "no-plan" "the policy has no backup plan for this reconciler";
    DATASET_UNCOVERED = 1027 "dataset-uncovered" "no backup plan covers a dataset that policy wants backed up";
    SOURCE_COLLAPSED = 1028 "source-collapsed" "a source is not the one that the recovery point before showed, or is nearly gone";
    LOCATIONS_SHARE_DEVICE = 1029 "locations-share-device" "locations of different fault domains are on one device";
    IMMUTABILITY_UNENFORCED = 1030 "immutability-unenforced" "policy calls a location immutable, and nothing there refuses deletes";
    CHANNEL_UNBOUND = 1031 "channel-unbound" "the configuration does not bind a notification channel of the policy";

    // 11 execute
    DEADLINE_PASSED = 1101 "deadline-passed" "an effect took longer than its deadline allows";
    RUN_INTERRUPTED = 1102 "run-interrupted" "the process ended while an effect ran, and the effect left nothing";
    OUTCOME_UNKNOWN = 1103 "outcome-unknown" "it is not known yet whether an effect happened";
    EFFECT_PANICKED = 1104 "effect-panicked" "an effect ended in a bug";
    PRECONDITION_FAILED = 1105 "precondition-failed" "a step's precondition no longer holds";
    POINT_NOT_FOUND = 1106 "point-not-found" "no recovery point matches the request";
    UNKNOWN_OBJECT = 1107 "unknown-object" "the active policy has no plan or dataset of this name";
    RESTORE_UNFIT = 1108 "restore-unfit" "the restore request contradicts itself";
    SPOOL_UNUSABLE = 1109 "spool-unusable" "the spool folder cannot be written";
    CHECK_FAILED = 1110 "check-failed" "a recovery point did not pass its check at a location";
    KEY_UNAVAILABLE = 1111 "key-unavailable" "the source of a key does not give it";
    JUDGEMENT_ABANDONED = 1112 "judgement-abandoned" "judging a published bundle ended the process each time, so it is not judged again";
    CHECK_INCOMPLETE = 1115 "check-incomplete" "a recovery point was not read at every location that should hold it";
    OPERATION_CANCELLED = 1117 "operation-cancelled" "a person ended an operation that was under way";
    RUN_OVERRAN = 1118 "run-overran" "a backup needs longer than its completion window";
    NO_PROGRESS = 1119 "no-progress" "an effect was ended because it made no progress";
    SAFETY_POINT_FAILED = 1120 "safety-point-failed" "no recovery point of what a restore would replace can be taken";
    PLAN_SUSPENDED = 1121 "plan-suspended" "a person suspended the schedule of a plan";
    SIMULATION_UNUSABLE = 1122 "simulation-unusable" "a simulation cannot be played";
    SIMULATION_BROKEN = 1123 "simulation-broken" "a property does not hold in a simulation";

    // 12 source
    CONFIG_UNREADABLE = 1201 "config-unreadable" "the configuration file cannot be read";
    CONFIG_INVALID = 1202 "config-invalid" "the configuration is not what the daemon reads";
    GIT_UNREACHABLE = 1203 "git-unreachable" "the policy repository cannot be fetched";
    GIT_DEADLINE = 1204 "git-deadline" "git did not finish in time and was killed";
    GIT_BRANCH_ABSENT = 1205 "git-branch-absent" "the policy repository has no such branch";
    GIT_LAYOUT = 1206 "git-layout" "the policy repository lacks a file of a published environment";
    GIT_MIRROR = 1207 "git-mirror" "the local mirror of the policy repository cannot be used";
    GIT_TOO_LARGE = 1208 "git-too-large" "a published file is larger than the limit";
    NO_POLICY = 1209 "no-policy" "no bundle was ever accepted";
    GIT_MISSING = 1210 "git-missing" "the `git` command cannot be started";
    GIT_ENDLESS = 1211 "git-endless" "the policy repository sends more than is ever kept";
    GIT_CREDENTIALS_UNUSABLE = 1212 "git-credentials-unusable" "the credentials of the policy repository cannot be used";
    CREDENTIALS_IN_URL = 1213 "credentials-in-url" "the URL of the policy repository holds credentials";
    FILE_OPEN_TO_OTHERS = 1214 "file-open-to-others" "other users can change or read a file that the daemon trusts";
    STATE_UNSAFE = 1215 "state-unsafe" "other users own or can replace what is in the state folder";

    API_UNREACHABLE = 1216 "api-unreachable" "the running daemon does not answer on its socket";
    API_REFUSED = 1217 "api-refused" "the running daemon does not take the request";
    TCP_UNUSABLE = 1218 "tcp-unusable" "the daemon cannot answer on TCP as it is configured";
    NOTIFICATION_FAILED = 1219 "notification-failed" "a notification channel takes no messages";

    // 13 store
    STORE_LOCKED = 1301 "store-locked" "another process holds the state store";
    STORE_UNUSABLE = 1302 "store-unusable" "the state store cannot be opened, read or written";
    STORE_DAMAGED = 1303 "store-damaged" "the state store holds what this version never wrote";
    STORE_MIGRATION = 1304 "store-migration" "the state store has another version than this program";
    SLOT_RECORDED = 1305 "slot-recorded" "a slot has its terminal record already";
    LOG_END_UNKNOWN = 1306 "log-end-unknown" "this process does not know where the receipt log ends";
    STORE_TAKEN_OVER = 1307 "store-taken-over" "another daemon has taken over the state store";

    // 14 vault
    VAULT_LOCATION_UNREACHABLE = 1401 "location-unreachable" "a location's folder or endpoint is not there";
    VAULT_LOCATION_FULL = 1402 "location-full" "a location has no room left";
    VAULT_LOCATION_FAILED = 1403 "location-failed" "a location's storage answered with an error or not in time";
    VAULT_OBJECT_DAMAGED = 1404 "object-damaged" "a location holds an object that is missing, cut or altered";
    VAULT_WRONG_KEY = 1405 "wrong-key" "the bound key does not open the repository";
    VAULT_KEY_UNUSABLE = 1406 "key-unusable" "the bound key cannot be the password of a repository";
    VAULT_REPOSITORY_ABSENT = 1407 "repository-absent" "no location holds the repository";
    VAULT_REPOSITORY_LOST = 1408 "repository-lost" "a repository with recovery points is gone from every location";
    VAULT_QUORUM_NOT_MET = 1409 "quorum-not-met" "fewer locations than `commit` can take the recovery point, so none got it";
    VAULT_COMMIT_INCOMPLETE = 1410 "commit-incomplete" "a recovery point became visible at fewer locations than `commit`";
    VAULT_SOURCE_INCOMPLETE = 1411 "source-incomplete" "part of the source could not be read, so no recovery point was kept";
    VAULT_SOURCE_REFUSED = 1412 "source-refused" "the connector says that the source is not good, so no recovery point was kept";
    VAULT_ENGINE_FAILED = 1413 "engine-failed" "the backup engine failed, so no recovery point was kept";
    VAULT_LOCKED = 1414 "repository-locked" "another program holds the repository exclusively";
    VAULT_POINT_ABSENT = 1415 "point-absent" "no usable location holds the recovery point or the dataset in it";
    VAULT_TARGET_UNUSABLE = 1416 "target-unusable" "the target of a restore is not empty or cannot be written";
    VAULT_RESTORE_FAILED = 1417 "no-readable-copy" "no location could serve the restore";
    VAULT_RESTORE_DIFFERS = 1418 "restore-differs" "restored content is not what the recovery point holds";
    VAULT_CHILD_FAILED = 1419 "vault-child-failed" "the process that restores and checks died";
    VAULT_DEADLINE = 1420 "vault-deadline" "a restore or check did not finish in time and was killed";
    VAULT_BAD_REQUEST = 1421 "vault-bad-request" "the vault was asked for something its format cannot hold";
    VAULT_LOCATION_NOT_EXPECTED = 1422 "location-not-expected" "a location's folder is not the one that was used before";
    VAULT_LOCATION_SHARED = 1423 "location-shared" "two locations are one folder, or one is inside the other";
    VAULT_LOCATION_IN_SOURCE = 1424 "location-in-source" "a location is inside a dataset's live data, or the live data are inside a location";
    VAULT_LOCATION_SILENT = 1425 "location-silent" "a location's storage does not answer";
    VAULT_REPOSITORY_DISPUTED = 1426 "repository-disputed" "locations hold different repositories that the bound key opens";
    VAULT_LOCATION_NOT_ADOPTED = 1427 "location-not-adopted" "a location cannot be adopted as it is";
    VAULT_NOT_DELETED = 1428 "not-deleted" "not everything that retention lets go could be deleted";

    // 15 connectors
    SOURCE_MISSING = 1501 "source-missing" "the live data that a binding names do not exist";
    SOURCE_UNREADABLE = 1502 "source-unreadable" "the live data cannot be read";
    SOURCE_UNREACHABLE = 1503 "source-unreachable" "the database server of a binding cannot be reached";
    SOURCE_LOCKED = 1504 "source-locked" "the live database stayed locked";
    SOURCE_DAMAGED = 1505 "source-damaged" "the live data fail their own integrity check";
    SOURCE_EMPTY = 1506 "source-empty" "the live data are an empty folder, as an unmounted file system is";
    SOURCE_CHANGED = 1507 "source-changed" "the source was replaced or changed while it was read";
    PREFIX_REWRITTEN = 1508 "prefix-rewritten" "an append-only file lost or rewrote what was backed up before";
    SOURCE_PARTIAL = 1509 "source-partial" "some of the source could not be taken; never a good recovery point";
    DUMP_FAILED = 1510 "dump-failed" "the dump program failed or was killed";
    DUMP_INCOMPLETE = 1511 "dump-incomplete" "a finished dump lacks what its own table of contents names";
    CONNECTOR_DEADLINE = 1512 "connector-deadline" "a connector's work took longer than its deadline";
    CONNECTOR_CANCELLED = 1513 "connector-cancelled" "a connector's work was cancelled";
    SPOOL_FULL = 1514 "spool-full" "no space is left for a dump or a restore";
    BINDING_INVALID = 1515 "binding-invalid" "a dataset's binding cannot be used";
    TOOL_MISSING = 1516 "tool-missing" "a program that a connector needs cannot be started";
    MODE_UNSUPPORTED = 1517 "mode-unsupported" "the connector does not restore in this mode";
    TARGET_NOT_EMPTY = 1518 "target-not-empty" "a restore target holds something already";
    TARGET_IS_PRODUCTION = 1519 "target-is-production" "a restore target is the live data";
    TARGET_INVALID = 1520 "target-invalid" "a restore target is not one that the connector can write";
    MATERIAL_INVALID = 1521 "material-invalid" "a restored recovery point is not what the connector wrote";
    RESTORE_FAILED = 1522 "restore-failed" "a restore failed and left production as it was";
    VALIDATION_FAILED = 1523 "validation-failed" "restored data fail their checks";
    SWAP_REFUSED = 1524 "swap-refused" "the live folder cannot be exchanged in one step";
    STATE_INVALID = 1525 "state-invalid" "the stored state of an append-only check cannot be used";
    CONNECTOR_IO = 1526 "connector-io" "a file operation of a connector failed";
    SUPERUSER_REFUSED = 1527 "superuser-refused" "a binding's database role is a superuser, or can become one, and the binding does not ask for it";
    RESTORE_INCOMPLETE = 1528 "restore-incomplete" "a database was restored in part and is kept, marked as incomplete";
    DATABASE_RIGHTS_MISSING = 1529 "database-rights-missing" "a binding's database role lacks rights that a backup or a restore needs";
    DATABASE_REFUSED = 1530 "database-refused" "the database server answered and refused a session or a query";
    SOURCE_UNTRUSTED = 1535 "source-untrusted" "the path to the live data can be exchanged by another user, or is not what it must be";
    RESTORE_ROOM_LACKING = 1536 "restore-room-lacking" "a folder lacks room for a restore";
    TARGET_EXCHANGED = 1537 "target-exchanged" "a restore target was exchanged while it was written";
    OWNER_UNUSABLE = 1538 "owner-unusable" "the user that a dataset is read or restored as cannot be used";

    // 16 executions and approvals
    APPROVAL_REQUIRED = 1601 "approval-required" "the approval policy asks for approvals that this command cannot carry";

    // 17 receipts
    RECEIPT_INVALID = 1701 "receipt-invalid" "a line of the receipt log is no receipt, or contradicts itself";
    RECEIPT_TOO_LONG = 1702 "receipt-too-long" "a receipt would be longer than one line may be";
    RECEIPT_UNSIGNED = 1703 "receipt-unsigned" "a receipt carries no good signature by its reconciler";
    RECEIPT_ORDER = 1704 "receipt-order" "a receipt is at another place than it was written for";
    RECEIPT_FOREIGN = 1705 "receipt-foreign" "a receipt belongs to another environment or reconciler";
    RECEIPT_LINK = 1706 "receipt-link" "an outcome without its intent, a second outcome, or a resolution of nothing unknown";
    CHECKPOINT_INVALID = 1707 "checkpoint-invalid" "a checkpoint is no C2SP note of this log";
    CHECKPOINT_UNSIGNED = 1708 "checkpoint-unsigned" "a checkpoint carries no good signature by its reconciler";
    LOG_TRUNCATED = 1709 "log-truncated" "the receipt log is shorter than its checkpoint";
    LOG_ROOT_MISMATCH = 1710 "log-root-mismatch" "the receipt log has another tree root than its checkpoint";
    PROOF_INVALID = 1711 "proof-invalid" "a proof of inclusion or consistency does not hold";
    RECEIPT_KEY_UNUSABLE = 1712 "receipt-key-unusable" "the key that signs receipts cannot be read, or the trust root does not list it";
    RECEIPT_COPY_FAILED = 1713 "receipt-copy-failed" "the receipt log could not be copied to a location";
    RECEIPT_LOG_BEHIND = 1714 "receipt-log-behind" "a copy of the receipt log is longer than the state store's";
    REBUILD_UNDECIDED = 1715 "rebuild-undecided" "it is not clear from which copy of the receipts the catalog has to be rebuilt";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_names_are_unique() {
        assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(Code::find("SW0101"), Some(INVALID_YAML));
    }
}
