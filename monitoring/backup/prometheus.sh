#!/bin/sh
# Backup and restore of Prometheus' data: docs/how-to/backup.md.
#   prometheus.sh backup URL DATA_DIR FILE.tar.gz     while it runs, with --web.enable-admin-api
#   prometheus.sh restore FILE.tar.gz DATA_DIR        while it is stopped; DATA_DIR has to be empty
# CURL_OPTIONS: further options of curl, such as --config FILE with credentials.
set -eu

fail() {
  echo "prometheus.sh: $1" >&2
  exit 1
}

backup() {
  url=${1%/} data=$2 file=$3
  [ -d "$data" ] || fail "no folder $data; expected the one of --storage.tsdb.path"
  # shellcheck disable=SC2086
  reply=$(curl -sS ${CURL_OPTIONS:-} -X POST "$url/api/v1/admin/tsdb/snapshot") || fail "$url does not answer"
  name=$(printf %s "$reply" | sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
  [ -n "$name" ] || fail "no snapshot was made; start Prometheus with --web.enable-admin-api: $reply"
  [ -d "$data/snapshots/$name" ] || fail "the snapshot $name is not below $data/snapshots: another Prometheus' folder?"
  tar -C "$data/snapshots/$name" -czf "$file.part" . && mv "$file.part" "$file"
  rm -rf "${data:?}/snapshots/$name"
  echo "$file: snapshot $name"
}

restore() {
  file=$1 data=$2
  [ -f "$file" ] || fail "no file $file"
  mkdir -p "$data"
  [ -z "$(ls -A "$data")" ] || fail "$data is not empty: stop Prometheus, and move its data away"
  tar -C "$data" -xzf "$file"
  echo "$data: restored from $file"
}

case "${1:-} $#" in
  "backup 4") backup "$2" "$3" "$4" ;;
  "restore 3") restore "$2" "$3" ;;
  *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
esac
