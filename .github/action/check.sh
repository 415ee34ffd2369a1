#!/usr/bin/env bash
# Runs `seawall check` for the action: annotations to the log, the comment and SARIF into $OUT, the exit status into
# $GITHUB_OUTPUT. Ends with success when the tree could be judged, whatever was found; with seawall's own status when not.
set -euo pipefail
: "${SEAWALL:=seawall}" "${TREE:=policies}" "${FAIL_ON:=error}" "${OUT:?names a folder for the outputs}"

# All three runs judge as of one instant, or a key that ends in between would be told by one of them alone.
arguments=(check "$TREE" --at "$(date -u +%Y-%m-%dT%H:%M:%SZ)")
if [[ -n ${RULES:-} ]]; then arguments+=(--rules "$RULES"); fi
read -r -a environments <<<"${ENVIRONMENTS:-}"
for environment in "${environments[@]}"; do arguments+=(--env "$environment"); done
compared=("${arguments[@]}" --fail-on "$FAIL_ON")
if [[ -n ${BASE:-} ]]; then compared+=(--base "$BASE"); fi

run() { # run COMMAND … : status 1 is an answer, anything above is none
  local status=0
  "$SEAWALL" "$@" || status=$?
  if ((status > 1)); then exit "$status"; fi
  return "$status"
}

mkdir -p "$OUT"
status=0
run "${compared[@]}" --format github || status=$?
run "${compared[@]}" --format markdown >"$OUT/comment.md" || true
run "${arguments[@]}" --format sarif >"$OUT/seawall.sarif" || true
echo "status=$status" >>"${GITHUB_OUTPUT:-/dev/null}"
