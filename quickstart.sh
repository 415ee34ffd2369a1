#!/usr/bin/env bash
# From an empty folder to restored data: builds Seawall, makes keys and a trust root, compiles policies/ for `dev`, publishes the
# signed bundle, backs up every plan, changes and destroys data, restores it, compares every byte, verifies the receipts.
# Prints each command that it runs. Everything stays in ${SEAWALL_SCRATCH:-.scratch}/quickstart to play with.
set -euo pipefail
cd "$(dirname "$0")"
started=$SECONDS

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
chapter() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
run() { # prints a command with paths shortened, then runs it
  local shown
  printf -v shown ' %q' "$@"
  shown=${shown//"$bin/"/}
  printf '%s$%s%s\n' "$dim" "${shown//"$scratch"/\$S}" "$plain"
  "$@"
}
fail() { printf '\nquickstart: %s\n' "$*" >&2; exit 1; }

chapter "Install what is missing, and build"
scripts/setup all
cargo build --quiet --locked --workspace --release --bins
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
build_seconds=$((SECONDS - started))

root=${SEAWALL_SCRATCH:-.scratch}
mkdir -p "$root"
scratch=$(cd "$root" && pwd)/quickstart
if [ -e "$scratch" ]; then
  [ -e "$scratch/.seawall-quickstart" ] || fail "$scratch exists and was not made by this script: move it away"
  [ ! -x "$scratch/postgres-stop" ] || "$scratch/postgres-stop" >/dev/null 2>&1 || true
  rm -rf "$scratch"
fi
mkdir "$scratch"
touch "$scratch/.seawall-quickstart"
printf 'the scratch folder is %s, called $S below\n' "$scratch"

chapter "A PostgreSQL server of our own"
pg_bin=/usr/lib/postgresql/15/bin
[ -x "$pg_bin/initdb" ] || pg_bin=$(dirname "$(command -v initdb || echo "$pg_bin/initdb")")
as_server=()
pg_data=$scratch/postgres
if [ "$(id -u)" = 0 ]; then
  # PostgreSQL refuses to run as root. Where its user cannot enter the scratch folder, the server lives beside it.
  as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp)
  mkdir "$pg_data" && chown postgres: "$pg_data"
  if ! "${as_server[@]}" test -w "$pg_data"; then
    rmdir "$pg_data"
    pg_data=$(mktemp -d /tmp/seawall-quickstart-postgres.XXXXXX)
    chown postgres: "$pg_data"
    ln -s "$pg_data" "$scratch/postgres"
  fi
else
  mkdir "$pg_data"
fi
port=$((20000 + RANDOM % 20000))
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
(cd / && "${as_server[@]}" "$pg_bin/initdb" --no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C -D "$pg_data/data" >/dev/null)
for action in start stop; do
  {
    printf '#!/bin/sh\ncd /\n'
    if [ $action = start ]; then
      printf 'exec %s %s/pg_ctl -D %q -l %q -w -o "-p %s -c listen_addresses=127.0.0.1 -c unix_socket_directories=" start\n' \
        "${as_server[*]}" "$pg_bin" "$pg_data/data" "$pg_data/log" "$port"
    else
      printf 'exec %s %s/pg_ctl -D %q -m fast -w stop\n' "${as_server[*]}" "$pg_bin" "$pg_data/data"
    fi
  } >"$scratch/postgres-$action"
  chmod +x "$scratch/postgres-$action"
done
"$scratch/postgres-start" >/dev/null
trap '"$scratch/postgres-stop" >/dev/null 2>&1 || true' EXIT
psql=("$pg_bin/psql" --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres)
echo "listening on 127.0.0.1:$port"
echo "the daemon gets two roles, neither of them a superuser (docs/postgresql.md): one reads, one creates and loads databases:"
run "${psql[@]}" -c "create role app login" \
  -c "create role seawalld_backup login" -c "grant pg_read_all_data to seawalld_backup" \
  -c "create role seawalld_restore login createdb" -c "grant app to seawalld_restore"

chapter "Check the policy"
run "$bin/seawall" check policies --env dev

chapter "Keys, a trust root, a signed bundle"
run "$bin/seawall" keys generate --out "$scratch/keys" ci anna ben dev
mkdir "$scratch/published"
cat >"$scratch/trust.yaml" <<'YAML'
valid_for: P365D
persons:
  ci: [keys/ci.pub]        # the pipeline that compiles
  anna: [keys/anna.pub]    # owners of the policy
  ben: [keys/ben.pub]
  dev: [keys/dev.pub]      # the reconciler, which signs receipts
root: { persons: [anna, ben], threshold: 2 }
environments:
  dev:
    compiler: { persons: [ci], threshold: 1 }
    owner: { persons: [anna, ben], threshold: 0, weakening_threshold: 2 }
    reconciler: { persons: [dev], threshold: 1 }
YAML
run "$bin/seawall" trust init "$scratch/trust.yaml" --out "$scratch/published" --key "$scratch/keys/anna.key" --key "$scratch/keys/ben.key" |
  tee "$scratch/root.txt"
pin=$(grep -oE '[0-9a-f]{64}' "$scratch/root.txt" | tail -n 1)
echo "the first bundle of an environment has nothing to compare with, so the owners sign it beside the pipeline:"
run "$bin/seawall" build policies --env dev --out "$scratch/published" \
  --key "$scratch/keys/ci.key" --key "$scratch/keys/anna.key" --key "$scratch/keys/ben.key"
run "$bin/seawall" verify "$scratch/published/dev" --root "$pin"
bundle=$scratch/published/dev/bundle.json

chapter "Publish it with git"
git_quiet=(git -c user.name=quickstart -c user.email=quickstart@localhost -c init.defaultBranch=main -c commit.gpgsign=false)
run "${git_quiet[@]}" init --quiet --bare "$scratch/policy.git"
run "${git_quiet[@]}" -C "$scratch/published" init --quiet
run "${git_quiet[@]}" -C "$scratch/published" add --all
run "${git_quiet[@]}" -C "$scratch/published" commit --quiet --message "bundle 1"
run "${git_quiet[@]}" -C "$scratch/published" push --quiet "$scratch/policy.git" HEAD:main

chapter "Sample data for every dataset, and a configuration that binds every plan"
live=$scratch/live
mkdir -p "$live" "$scratch/locations" "$scratch/secrets"
files_of() { # a small tree with a nested folder, a binary file and an empty one
  mkdir -p "$1/conf.d"
  printf 'name: %s\nlimits: { requests: 200 }\n' "$(basename "$1")" >"$1/main.yaml"
  printf 'gate: open\n' >"$1/conf.d/gates.yaml"
  head -c 262144 /dev/urandom >"$1/state.bin"
  : >"$1/conf.d/empty"
}
jsonl_of() {
  mkdir -p "$1"
  seq 1 2000 | sed 's/.*/{"receipt":&,"result":"success","detail":"decision & of a quickstart"}/' >"$1/log.jsonl"
}
sqlite_of() {
  sqlite3 "$1" "create table setting(id integer primary key, name text not null, value text not null);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
    insert into setting select i, 'setting-' || i, hex(randomblob(16)) from n;"
}
postgres_of() {
  "${psql[@]}" -c "create database $1 owner app" >/dev/null
  "${psql[@]}" -U app -d "$1" -c "create table account(id bigint primary key, owner text not null, balance numeric not null);
    insert into account select i, 'owner ' || i, (i * 7919) % 100000 from generate_series(1, 20000) i;
    create view rich as select * from account where balance > 90000;" >/dev/null
}
{
  printf 'reconciler_id: dev\nenvironment: dev\ninterval: PT1M\n'
  printf 'git: { url: %s, branch: main, deadline: PT1M }\n' "$scratch/policy.git"
  printf 'trust: { root_sha256: %s }\n' "$pin"
  printf 'state: %s\nreceipt_key: %s\n' "$scratch/state" "$scratch/keys/dev.key"
  printf 'locations:\n'
  for location in $(jq -r '.plans[].locations[]' "$bundle" | sort -u); do
    mkdir "$scratch/locations/$location"
    printf '  %s: { path: %s }\n' "$location" "$scratch/locations/$location"
  done
  printf 'keys:\n'
  for kid in $(jq -r '.plans[].encryption_key_ref' "$bundle" | sort -u); do
    openssl rand -hex 32 >"$scratch/secrets/$kid"
    chmod 600 "$scratch/secrets/$kid"
    printf '  %s: { file: %s }\n' "$kid" "$scratch/secrets/$kid"
  done
  printf 'datasets:\n'
  jq -r '[.plans[].dataset_ids[]] as $planned | .datasets[] | select(.dataset_id | IN($planned[])) | "\(.dataset_id) \(.connector)"' "$bundle" |
    while read -r dataset connector; do
      case "$connector" in
        files) files_of "$live/$dataset"; printf '  %s: { files: { path: %s } }\n' "$dataset" "$live/$dataset" ;;
        jsonl) jsonl_of "$live/$dataset"; printf '  %s: { jsonl: { path: %s } }\n' "$dataset" "$live/$dataset" ;;
        sqlite) sqlite_of "$live/$dataset.sqlite"; printf '  %s: { sqlite: { path: %s } }\n' "$dataset" "$live/$dataset.sqlite" ;;
        postgres)
          postgres_of "$dataset"
          printf '  %s: { postgres: { host: 127.0.0.1, port: %s, database: %s, user: seawalld_backup, restore_user: seawalld_restore, bin_dir: %s } }\n' \
            "$dataset" "$port" "$dataset" "$pg_bin"
          ;;
        *) echo "quickstart: no sample data for connector $connector" >&2; exit 1 ;;
      esac
    done
} >"$scratch/seawalld.yaml"
printf 'wrote $S/seawalld.yaml: %s locations, %s datasets\n' \
  "$(find "$scratch/locations" -mindepth 1 -maxdepth 1 | wc -l)" "$(grep -cE 'path: .*/live/|postgres: \{' "$scratch/seawalld.yaml")"
seawalld=("$bin/seawalld" --config "$scratch/seawalld.yaml")
# The daemon tells each operation on standard error; here the tables are enough. Unset it to see them.
export SEAWALLD_LOG=${SEAWALLD_LOG:-warn}
run "${seawalld[@]}" doctor ||
  echo "doctor fails what this machine cannot keep: here every location is a plain folder on one disk"

chapter "Reconcile: one round backs up and verifies every plan"
round_started=$SECONDS
run "${seawalld[@]}" once
round_seconds=$((SECONDS - round_started))
echo "and a second round has nothing left to do, except what the calendar makes due between the two:"
run "${seawalld[@]}" plan
for again in 2 3 4; do
  "${seawalld[@]}" --format json once >"$scratch/round-$again.json"
  steps=$(jq '.done | length' "$scratch/round-$again.json")
  [ "$steps" != 0 ] || break
  jq -r '.done[] | "due meanwhile: \(.operation_id)"' "$scratch/round-$again.json"
done
[ "$steps" = 0 ] || fail "round $again still did something: see $scratch/round-$again.json"

chapter "Any location can be read by stock restic, with the key and nothing of ours"
first_plan=$(jq -r '[.plans[] | select(.dataset_ids | length == 1)][0].plan_id' "$bundle")
kid=$(jq -r --arg p "$first_plan" '.plans[$p].encryption_key_ref' "$bundle")
for location in $(jq -r --arg p "$first_plan" '.plans[$p].locations[]' "$bundle"); do
  run restic --no-cache --quiet --no-lock --password-file "$scratch/secrets/$kid" --repo "$scratch/locations/$location/dev/$first_plan/$kid" snapshots --compact
done

chapter "Change data and take another recovery point"
pick() { # the first planned dataset of a connector, in a plan of its own
  jq -r --arg c "$1" '. as $m | [.plans[] | select(.dataset_ids | length == 1) | . as $p | .dataset_ids[] | select($m.datasets[.].connector == $c) | "\($p.plan_id) \(.)"][0]' "$bundle"
}
read -r files_plan files_dataset <<<"$(pick files)"
read -r jsonl_plan jsonl_dataset <<<"$(pick jsonl)"
read -r sqlite_plan sqlite_dataset <<<"$(pick sqlite)"
read -r postgres_plan postgres_dataset <<<"$(pick postgres)"
printf 'gate: closed\n' >"$live/$files_dataset/conf.d/gates.yaml"
printf 'new\n' >"$live/$files_dataset/conf.d/new.yaml"
seq 2001 2100 | sed 's/.*/{"receipt":&,"result":"success"}/' >>"$live/$jsonl_dataset/log.jsonl"
sqlite3 "$live/$sqlite_dataset.sqlite" "update setting set value = 'changed' where id % 7 = 0"
"${psql[@]}" -d "$postgres_dataset" -c "update account set balance = balance + 1 where id % 3 = 0"
for plan in "$files_plan" "$jsonl_plan" "$sqlite_plan" "$postgres_plan"; do
  run "${seawalld[@]}" backup "$plan"
done
newest() { "${seawalld[@]}" --format json catalog --plan "$1" | jq -r 'map(select(.status == "success")) | max_by(.finished_at).backup_id'; }
files_point=$(newest "$files_plan")
postgres_point=$(newest "$postgres_plan")
# What must come back.
expected=$scratch/expected
mkdir "$expected"
cp -a "$live/$files_dataset" "$expected/files"
cp -a "$live/$jsonl_dataset" "$expected/jsonl"
sqlite3 "$live/$sqlite_dataset.sqlite" .dump >"$expected/sqlite.sql"
rows="select count(*), md5(string_agg(t::text, ',' order by id)) from account t"
"${psql[@]}" -d "$postgres_dataset" -c "$rows" >"$expected/postgres.txt"

chapter "Disaster: the live data is gone"
run rm -rf "$live/$files_dataset" "$live/$jsonl_dataset" "$live/$sqlite_dataset.sqlite"
run "${psql[@]}" -d "$postgres_dataset" -c "drop table account cascade"

chapter "Restore, and compare every byte"
restored=$scratch/restored
mkdir "$restored"
run "${seawalld[@]}" restore --dataset "$files_dataset" --point latest --mode side-by-side --target "$restored/files"
run diff -r "$expected/files" "$restored/files"
run "${seawalld[@]}" restore --dataset "$jsonl_dataset" --point latest --mode side-by-side --target "$restored/jsonl"
run diff -r "$expected/jsonl" "$restored/jsonl"
run "${seawalld[@]}" restore --dataset "$sqlite_dataset" --point latest --mode side-by-side --target "$restored/settings.sqlite"
sqlite3 "$restored/settings.sqlite" .dump >"$restored/sqlite.sql"
run diff "$expected/sqlite.sql" "$restored/sqlite.sql"
run "${seawalld[@]}" restore --dataset "$postgres_dataset" --point latest --mode side-by-side --target "${postgres_dataset}_beside"
"${psql[@]}" -d "${postgres_dataset}_beside" -c "$rows" >"$restored/postgres.txt"
run diff "$expected/postgres.txt" "$restored/postgres.txt"
echo "files and databases go back in place too, after a recovery point of what stands there was taken:"
cp -a "$restored/files" "$live/$files_dataset"
printf 'gate: vandalised\n' >"$live/$files_dataset/conf.d/gates.yaml"
run "${seawalld[@]}" restore --dataset "$files_dataset" --point backup-id "$files_point" --mode in-place
run diff -r "$expected/files" "$live/$files_dataset"
run "${seawalld[@]}" restore --dataset "$postgres_dataset" --point backup-id "$postgres_point" --mode in-place
"${psql[@]}" -d "$postgres_dataset" -c "$rows" >"$restored/postgres-in-place.txt"
run diff "$expected/postgres.txt" "$restored/postgres-in-place.txt"
cp -a "$restored/jsonl" "$live/$jsonl_dataset"
cp "$restored/settings.sqlite" "$live/$sqlite_dataset.sqlite"

chapter "Evidence"
run "${seawalld[@]}" receipts verify
run "${seawalld[@]}" status
echo "the compiler holds the policy against what happened: who reads the receipts trusts the pinned root and nobody else:"
run "${seawalld[@]}" receipts export --out "$scratch/receipts"
evidence=(--env dev --evidence "$scratch/receipts" --published "$scratch/published" --root "$pin")
run "$bin/seawall" check policies "${evidence[@]}"
run "$bin/seawall" prove policies "$files_dataset" "${evidence[@]}"

chapter "Summary"
points=$("${seawalld[@]}" --format json catalog | jq 'length')
receipts=$("${seawalld[@]}" --format json receipts | jq 'length')
line() { printf '%-28s %s\n' "$1" "$2"; }
line "plans bound and backed up" "$(jq '.plans | length' "$bundle")"
line "datasets" "$(jq '[.plans[].dataset_ids[]] | unique | length' "$bundle") of $(jq '.datasets | length' "$bundle") (the rest is rebuilt or excluded, with a reason)"
line "locations" "$(find "$scratch/locations" -mindepth 1 -maxdepth 1 | wc -l)"
line "recovery points" "$points"
line "receipts, verified" "$receipts"
line "restored and compared" "files, jsonl, sqlite, postgres: equal"
line "first round" "$round_seconds s"
line "build" "$build_seconds s"
line "all" "$((SECONDS - started)) s"
cat <<TEXT

Play on:  start the database again with $scratch/postgres-start (stop it with postgres-stop), then
  alias seawalld='$bin/seawalld --config $scratch/seawalld.yaml'
  seawalld status; seawalld catalog; seawalld receipts
TEXT
