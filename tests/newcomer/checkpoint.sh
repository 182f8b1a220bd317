#!/bin/sh
# A fine-tuned checkpoint: where its time goes here, four bits by one's own data, what that loses, and an answer.
# The script's words are the checkpoint, a file of conversations with their answers, and a picture to ask about.
set -e
edge profile --model "$1" --window 2 --answer-tokens 8 --live 1 --json > profile.json
edge quantize "$1" tuned-int4 --calibrate "$2" --for edge
edge compare "$1" tuned-int4 --data "$2" --picture losses.png --json > losses.json
edge describe "$3" --model tuned-int4 --json > answer.json
