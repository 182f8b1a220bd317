#!/bin/sh
# Four cameras on one model: who is where, in one file and one folder of pictures. Ctrl-C ends it.
# The addresses are the script's words; a camera that is off is waited for.
exec edge watch "front=$1" "back=$2" "side=$3" "garage=$4" \
    --ground "yellow square" --ask "Is there a red star?" \
    --changes --out events.jsonl --snapshots pictures --overlay seen.mp4 --json
