#!/bin/sh
# Twelve runs counted at once, one of them mended, then summarised: run.sh FOLDER [MEGABYTES]
# See README.md beside this file.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: run.sh FOLDER [MEGABYTES]}"
data=$(cd "$1" && pwd)
python3 "$here/make.py" "$data" --megabytes "${2:-10}"

# One task per run. The panel and the program are resources: a worker fetches them once, for all its tasks.
counts=
for run in "$data"/runs/*.fastq.gz; do
    said=$(scitq launch --batch fastq --name "count $(basename "$run" .fastq.gz)" \
        --input "file://$run" \
        --resource "file://$data/panel.tar.gz|untar" --resource "file://$here/count.py" \
        --output "file://$data/counts" --env PHRED=33 \
        sh -c 'python3 "$RESOURCE/count.py"')
    echo "$said"
    task=${said##* }
    counts=${counts:+$counts,}$task
    case $run in */run07.fastq.gz) old=$task ;; esac
done

# The summary starts when all of them have succeeded.
said=$(scitq launch --batch fastq --name summary --requires "$counts" \
    --input "file://$data/counts/" --resource "file://$here/summarise.py" --output "file://$data/summary" \
    sh -c 'python3 "$RESOURCE/summarise.py"')
echo "$said"
summary=${said##* }

# Run 7 writes its qualities in the old way, and its task says so.
if scitq manage task wait "$counts"; then
    echo "run 7 was not to be counted with PHRED=33" >&2
    exit 1
fi
scitq manage task output --stderr "$old"
scitq manage task explain "$summary"

# Mended, it is queued again; the summary has waited for it.
scitq manage task relaunch "$old" --env PHRED=64
scitq manage task wait "$summary"
python3 "$here/check.py" "$data"
