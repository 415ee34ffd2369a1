//! `docs/pull-request.md` shows what the program prints: it is written here, from real runs, and compared.

use std::fs;

use crate::repository::Repository;
use crate::trees::repository;

const PLAN: &str = "policies/plans/product_cloud.yaml";
const BEFORE: &str = "backup_frequency: gsmd:schedules/every_5m";
const AFTER: &str = "backup_frequency: gsmd:schedules/every_30m";

fn page() -> String {
    let world = Repository::of("policies", false);
    let commit = world.commit();
    world.edit(PLAN, BEFORE, AFTER);
    let ran = |format: &str| {
        let ran = world.check(&["--base", "main", "--format", format]);
        assert_eq!(ran.status, 1, "{}", ran.err);
        ran.out.replace(&commit[..7], "1a2b3c4")
    };
    format!(
        "\
# A pull request that weakens a tier 0 plan

Somebody moves the settings database of the product cloud from a backup every 5 minutes to one every 30, to save space:

```diff
--- a/{PLAN}
+++ b/{PLAN}
-{BEFORE}
+{AFTER}
```

The plan is still valid YAML, names a schedule that exists, and looks harmless in review. What follows is what the program
prints for it; a test writes this page anew and compares. `docs/ci.md` says how to set it up.

## In the terminal

`seawall check policies --base main`, exit status 1:

```text
{}```

## As annotations of GitHub

`seawall check policies --base main --format github` prints a workflow command for each cause, which GitHub shows at the line:

```text
{}```

## As a comment

`seawall check policies --base main --format markdown`, as the action in `.github/action` posts it:

````markdown
{}````
",
        ran("human"),
        ran("github"),
        ran("markdown")
    )
}

#[test]
fn the_pull_request_page_is_what_the_program_prints() {
    let path = repository().join("docs/pull-request.md");
    let page = page();
    if std::env::var_os("SEAWALL_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|stands| stands == page),
        "docs/pull-request.md is not what the program prints; write it with: \
         SEAWALL_WRITE_DOCS=1 cargo nextest run --workspace --release -E 'test(pull_request_page)'"
    );
}
