#!/usr/bin/env bash
# The three steps of a file by curl, as a vendor's docs print them: a cookie in place of the header. The arguments are
# where the API is and a folder for files.
set -euo pipefail
api=$1
cd "$2"

say() { echo "curl: $*"; }
fail() { echo "scripts/clients/curl.sh: $*" >&2; exit 1; }
# The text of a key that stands once in an answer.
value() { grep -o "\"$1\":\"[^\"]*\"" | head -1 | cut -d'"' -f4; }

cat >auth.json <<'JSON'
{"auth": {"username": "files", "password": "Correct-horse-1"}}
JSON
curl -sS -c cookies -X POST -d @auth.json "$api/auth" | grep -q '"status":"OK"' || fail "no login"
grep -q ia_token cookies || fail "no cookie"

for n in $(seq 1 300); do echo "$n:900001,0,$n;900002,60,0"; done >segments.txt
gzip -k segments.txt

load() {
  local made id url sent shown phase
  made=$(curl -sS -b cookies -c cookies -X POST "$api/batch-segment?member_id=4")
  id=$(value job_id <<<"$made")
  url=$(value upload_url <<<"$made")
  [ "${#id}" = 40 ] || fail "no job in $made"
  sent=$(curl -sS "$@" "$url")
  grep -q "\"segment_upload\":{\"job_id\":\"$id\"}" <<<"$sent" || fail "$* was answered $sent"
  for _ in $(seq 100); do
    shown=$(curl -sS -b cookies -c cookies "$api/batch-segment?member_id=4&job_id=$id")
    phase=$(value phase <<<"$shown")
    [ "$phase" != completed ] && [ "$phase" != error ] || break
    sleep 0.1
  done
  [ "$phase" = completed ] || fail "$* ended in $shown"
  grep -q '"num_valid":600,"num_valid_user":300,' <<<"$shown" || fail "$* counted $shown"
}

load -b cookies -c cookies -X POST --data-binary @segments.txt
load -b cookies -X POST -H 'Content-Type: application/octet-stream' --data-binary @segments.txt.gz
load -X POST -H 'Content-Type: octet-stream' -H 'Content-Encoding: gzip' --data-binary @segments.txt.gz
load -X POST -H 'Content-Type:' -H 'Transfer-Encoding: chunked' --data-binary @segments.txt.gz
load -H 'Expect: 100-continue' -T segments.txt
say "loaded a file of 300 users in 5 ways, with --data-binary and -T, with a cookie and without"

status=$(curl -sS -o refused.json -w '%{http_code}' -X POST --data-binary @segments.txt "$api/segment-upload/unknown")
[ "$status" = 404 ] && grep -q '"errors":\["' refused.json || fail "an unknown upload was answered $status"
curl -sSf -o /dev/null -X POST --data-binary @segments.txt "$api/segment-upload/unknown" 2>/dev/null &&
  fail "curl -f takes an unknown upload for a success"
listed=$(curl -sS -b cookies "$api/batch-segment?member_id=4&num_elements=2")
grep -q '"count":5,' <<<"$listed" || fail "the list is $listed"
say "read the list of 5 jobs; an unknown upload is a 404"
