#!/usr/bin/env bash
# Installs what the tests need, then runs every check: formatting, lints, documentation, all tests of Rust and Rego,
# generated files. Prints the seconds of each stage. Usage: ./test.sh [nextest filter arguments …]
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto} INSTA_UPDATE=no

total=$SECONDS
stage() { # stage NAME COMMAND …
  local name=$1 begin=$SECONDS
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  "$@"
  printf '== %s: %d s\n' "$name" $((SECONDS - begin))
}

stage setup scripts/setup all
stage format cargo fmt --all --check
stage lint cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
stage 'lint with traces' cargo clippy --quiet --locked --workspace --all-targets --features reconciler/opentelemetry -- -D warnings
# Help texts name placeholders in angle brackets, and a file's header may name its private entry function.
stage documentation env RUSTDOCFLAGS="-D warnings -A rustdoc::invalid-html-tags -A rustdoc::private-intra-doc-links" \
  cargo doc --quiet --locked --workspace --no-deps
if cargo deny --version >/dev/null 2>&1; then
  stage dependencies cargo deny --offline --log-level error check bans licenses sources
else
  printf '\n== dependencies: not checked here (cargo-deny is not installed); the GitHub workflow checks them\n'
fi
stage build cargo build --quiet --locked --workspace --release --bins
target=${CARGO_TARGET_DIR:-target}
stage breaks scripts/breaks --dry
stage tests cargo nextest run --locked --workspace --release --no-fail-fast "$@"
stage simulate "$target/release/seawalld" simulate --seed 1 --seeds 60 --days 1
stage rules "$target/release/seawall" test --coverage-min 100
for fuzzed in parse reference check; do stage "fuzz $fuzzed" scripts/fuzz "$fuzzed" 5; done
stage schemas "$target/release/seawall" schema --out schemas --check
printf '\nall checks passed in %d s\n' $((SECONDS - total))
