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

chapter "Check the policy, make keys, sign a bundle"
run "$bin/seawall" check policies --env dev
run "$bin/seawall" keys generate --out "$scratch/keys" compiler owner-anna owner-ben reconciler
run "$bin/seawall" trust init --out "$scratch/published/trust" --environment dev \
  --compiler "ci=$scratch/keys/compiler.pub" \
  --owner "anna=$scratch/keys/owner-anna.pub" --owner "ben=$scratch/keys/owner-ben.pub" \
  --reconciler "dev=$scratch/keys/reconciler.pub" \
  --root-key "$scratch/keys/owner-anna.key" | tee "$scratch/root.txt"
