# Runs suites and records their results for a table. `run` sources this file.
# shellcheck shell=bash

# begin_results FOLDER LATEST: prepares the folder for the output of each suite and a line about each in `results`. No suite runs
# beyond LATEST seconds.
begin_results() {
    logs=$1 latest=$2
    rm -rf "$logs"
    mkdir -p "$logs"
    : >"$logs/results"
    cpu_began=$(busy_cpu_seconds)
}

# suite NAME BUDGET COMMAND...: runs a command and records its seconds, beside its budget in seconds. A program is ended after three
# times its budget, so that the table is printed in any case. A function runs in this shell, and must limit its own commands.
suite() {
    local name=$1 budget=$2 limit=$((3 * $2)) began=$SECONDS state=passed status=0 output tee
    shift 2
    ((limit < latest - SECONDS)) || limit=$((latest - SECONDS))
    if ((limit <= 0)); then
        no_suite "$name" FAILED "the $latest s of all suites are over"
        return 1
    fi
    [[ $(type -t "$1") == function ]] || set -- within "$limit" "$@"
    echo "━━ $name"
    exec {output}> >(tee "$logs/$name.log")
    tee=$!
    "$@" >&"$output" 2>&1 {output}>&- || status=$? # a daemon that the command starts must not hold the output open
    exec {output}>&-
    wait "$tee"
    case $status in
        0) ;;
        124) state="FAILED, ended after $limit s" ;;
        *) state=FAILED ;;
    esac
    printf '%s\t%s\t%s\t%s\t\n' "$name" "$((SECONDS - began))" "$budget" "$state" >>"$logs/results"
    [[ $state == passed ]]
}

# within SECONDS PROGRAM...: runs a program, and at the time limit ends it and everything it has started (status 124).
within() {
    local limit=$1 began=$SECONDS status
    shift
    timeout --kill-after=30 "$limit" "$@" & # its own process group, which no longer ends with this shell
    program=$!
    trap 'kill "$program"; exit 143' INT TERM
    wait "$program"
    status=$?
    trap - INT TERM
    ((status != 137 || SECONDS - began < limit)) || status=124 # it ignored the first signal
    if ((status == 124)); then
        kill -KILL -- "-$program" 2>/dev/null # its children that ignored the signal, too
        echo "✗ Ended after $limit s: it does not come to an end, or the machine is too slow"
    fi
    return "$status"
}

# no_suite NAME STATE REASON: records a suite that did not run: "left out", or "FAILED" if it had to run.
no_suite() {
    echo "✗ $1 did not run: $3"
    printf '%s\t-\t-\t%s\t%s\n' "$1" "$2" "$3" >>"$logs/results"
}

# print_results BUDGET: prints the table, the suites that did not run, and those over their budget. Fails if a suite failed.
print_results() {
    echo
    awk -F'\t' -v all="$SECONDS" -v budget="$1" '
        BEGIN { printf "%-16s %8s %8s\n", "suite", "seconds", "budget" }
        { printf "%-16s %8s %8s  %s\n", $1, $2, $3, $4 }
        END { printf "%-16s %8d %8d\n", "all of them", all, budget }' "$logs/results"
    echo "This machine's $(nproc) processors were busy for $(($(busy_cpu_seconds) - cpu_began)) s meanwhile."
    echo
    echo "Did not run:"
    {
        awk -F'\t' '$5 != "" { printf "  %s: %s\n", $1, $5 }' "$logs/results"
        cat "$logs"/*.log | sed -n 's/^SKIPPED /  /p' | sort -u
    } | grep . || echo "  nothing: all suites ran, and all of their tests"
    awk -F'\t' -v all="$SECONDS" -v budget="$1" '
        $2 + 0 > $3 + 0 { printf "Over its budget: %s took %d s of %d s\n", $1, $2, $3 }
        END { if (all > budget) printf "Over its budget: the whole took %d s of %d s\n", all, budget }' "$logs/results"
    ! grep -q FAILED "$logs/results"
}

# busy_cpu_seconds: prints the seconds that all processors have worked since the machine started.
busy_cpu_seconds() {
    awk -v hertz="$(getconf CLK_TCK)" '/^cpu / { printf "%d\n", ($2 + $3 + $4 + $7 + $8) / hertz }' /proc/stat
}
