#!/bin/sh
# Push from a shell script with curl.
#
#   GATEWAY=http://localhost:9091 sh push.sh
#
# POST adds: run this twice and the counter shows the sum of both runs. PUT would replace
# everything that the group (here: job "nightly_backup") has pushed so far.
set -eu

gateway=${GATEWAY:-http://localhost:9091}
group=$gateway/metrics/job/nightly_backup

# Sends its input. --fail-with-body makes curl exit non-zero when the push is refused, and print why.
# --data-binary keeps the line ends, which --data would remove.
#
# Without an answer, nobody knows whether a push was counted. The key makes it safe to send it again:
# the gateway counts only one of the tries. Each push has its own key.
push() {
    key=$(uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid)
    curl --silent --show-error --fail-with-body --retry 5 --retry-all-errors \
        --header "Idempotency-Key: $key" "$@" --data-binary @- "$group"
}

# The TYPE line is what makes a counter a counter: without it a series is untyped, and the
# latest push replaces it (unless its name ends in _total).
push <<END
# HELP backup_files_total Files copied by the nightly backup.
# TYPE backup_files_total counter
backup_files_total{volume="home"} 1250
backup_files_total{volume="mail"} 310
# HELP backup_last_size_bytes Size of the latest backup.
# TYPE backup_last_size_bytes gauge
backup_last_size_bytes{volume="home"} 7516192768
END

# A long body travels compressed.
gzip --stdout <<END |
# HELP backup_bytes_total Bytes copied by the nightly backup.
# TYPE backup_bytes_total counter
backup_bytes_total{volume="home"} 52428800
backup_bytes_total{volume="mail"} 10485760
END
    push --header 'Content-Encoding: gzip'

echo "pushed to $group"
