#!/usr/bin/env bash
# Runs `seawall check` and `seawall diff` for the action: annotations and the difference to the log, comments and SARIF into $OUT,
# the exit status into $GITHUB_OUTPUT. Ends with success when the tree could be judged, whatever was found; with seawall's own status when not.
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

# What the change does to recovery. A tree that does not compile has no difference, and the check above says why.
if [[ -n ${BASE:-} ]]; then
  difference=(diff "$BASE" "$TREE")
  for environment in "${environments[@]}"; do difference+=(--env "$environment"); done
  if [[ -n ${FAIL_ON_EFFECT:-} ]]; then difference+=(--fail-on "$FAIL_ON_EFFECT"); fi
  echo "::group::what this change does to recovery"
  effect=0
  run "${difference[@]}" || effect=$?
  echo "::endgroup::"
  run "${difference[@]}" --format markdown >"$OUT/diff.md" || true
  if [[ ! -s "$OUT/diff.md" ]]; then rm -f "$OUT/diff.md"; fi
  if ((effect > 0)); then
    if [[ -n ${FAIL_ON_EFFECT:-} ]]; then
      echo "::error::recovery gets weaker, or cannot be compared: see what this change does to recovery"
      status=1
    fi
  fi
fi
echo "status=$status" >>"${GITHUB_OUTPUT:-/dev/null}"
