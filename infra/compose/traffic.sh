#!/bin/busybox sh
# A producer that needs nothing but HTTP: sends events to QUEUE, MESSAGES of them (0, the default, is without end).
# Every tenth is sent twice, and every fiftieth is no event at all.
set -euo pipefail

endpoint=${QUEUE%/*/*}
run=$(date +%s)

send() {
    wget -q -O /dev/null --header 'Content-Type: application/x-amz-json-1.0' \
        --header 'X-Amz-Target: AmazonSQS.SendMessage' \
        --post-data "{\"QueueUrl\":\"$QUEUE\",\"MessageBody\":\"$1\"}" "$endpoint/"
}

number=0
while [ "${MESSAGES:-0}" -eq 0 ] || [ "$number" -lt "${MESSAGES:-0}" ]; do
    number=$((number + 1))
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    who="{\\\"type\\\":\\\"User\\\",\\\"principalId\\\":\\\"user-$((number % 7))\\\"}"
    what="\\\"eventSource\\\":\\\"try.example.com\\\",\\\"eventName\\\":\\\"Try\\\",\\\"eventTime\\\":\\\"$now\\\""
    event="{\\\"version\\\":\\\"1.0\\\",\\\"UID\\\":\\\"$run-$number\\\",\\\"userIdentity\\\":$who,$what}"
    # The endpoints may not be up yet, or be broken on purpose.
    send "$event" || true
    [ $((number % 10)) -ne 0 ] || send "$event" || true
    [ $((number % 50)) -ne 0 ] || send "no event $number" || true
    sleep 0.2
done
