#!/bin/sh
# Backup and restore of what sidecars delivered to Elasticsearch or OpenSearch: docs/how-to/backup.md.
#   elasticsearch.sh register URL REPOSITORY LOCATION   once; LOCATION has to be below path.repo on every node
#   elasticsearch.sh backup URL REPOSITORY NAME         a snapshot of the data streams of logs and traces
#   elasticsearch.sh restore URL REPOSITORY NAME        those streams must not be there
# STREAMS: other data streams or indices.  CURL_OPTIONS: further options of curl, such as --config FILE with credentials.
set -eu
: "${STREAMS:=logs-*,traces-*}"

fail() {
  echo "elasticsearch.sh: $1" >&2
  exit 1
}

ask() {
  method=$1 path=$2 body=$3
  # shellcheck disable=SC2086
  reply=$(curl -sS ${CURL_OPTIONS:-} -w '\n%{http_code}' -H 'content-type: application/json' -X "$method" "$url$path" -d "$body") \
    || fail "$url does not answer"
  code=$(printf %s "$reply" | tail -n 1)
  reply=$(printf %s "$reply" | sed '$d')
  [ "$code" = 200 ] || fail "$method $path: $code $reply"
}

# The snapshot is complete only with state SUCCESS; a restore, where no shard failed.
register() {
  ask PUT "/_snapshot/$repository" "{\"type\": \"fs\", \"settings\": {\"location\": \"$1\"}}"
  echo "$repository: at $1"
}

backup() {
  ask PUT "/_snapshot/$repository/$1?wait_for_completion=true" "{\"indices\": \"$STREAMS\", \"include_global_state\": false}"
  case "$reply" in *'"state":"SUCCESS"'*) echo "$1: complete" ;; *) fail "the snapshot $1 is not complete: $reply" ;; esac
}

restore() {
  ask POST "/_snapshot/$repository/$1/_restore?wait_for_completion=true" \
    "{\"indices\": \"$STREAMS\", \"include_global_state\": false}"
  case "$reply" in *'"failed":0'*) echo "$1: restored" ;; *) fail "shards failed: $reply" ;; esac
}

case "${1:-} $#" in
  "register 4" | "backup 4" | "restore 4") url=${2%/} repository=$3; "$1" "$4" ;;
  *) sed -n '2,6s/^# //p' "$0" >&2; exit 2 ;;
esac
