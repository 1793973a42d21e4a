# Medians, spread and advantage of one variant. Input: a scenario's description, then lines "PEER ROUND METRIC VALUE" (ours: job).
# Variables: scenario, variant, peers (a list of words), format (table, json).

FNR == NR {
    if ($1 == "metric") {
        better[$2] = $3
        metrics[++metric_count] = $2
    }
    next
}

$3 == "checksum" {
    checksum[$1] = checksum[$1] " " $4
    next
}

{
    values[$1, $3, ++count[$1, $3]] = $4 + 0
}

# The median of all rounds; also sets `low` and `high`.
function median(who, metric,    n, i, j, at, sorted) {
    n = count[who, metric]
    for (i = 1; i <= n; i++) {
        at = values[who, metric, i]
        for (j = i - 1; j >= 1 && sorted[j] > at; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = at
    }
    low = sorted[1]
    high = sorted[n]
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function ratio(a, b) {
    return b > 0 ? a / b : -1
}

function number(x) {
    return x < 0 ? (format == "json" ? "null" : "-") : sprintf(format == "json" ? "%.6g" : "%.2f", x)
}

function compare(peer, metric,    ours, theirs, spread, other, advantage) {
    ours = median("job", metric)
    spread = ratio(high, low)
    theirs = median(peer, metric)
    other = ratio(high, low)
    spread = other > spread ? other : spread
    advantage = better[metric] == "higher" ? ratio(ours, theirs) : ratio(theirs, ours)
    if (format == "json")
        printf "{\"scenario\":\"%s\",\"variant\":\"%s\",\"peer\":\"%s\",\"metric\":\"%s\",\"better\":\"%s\",\"ours\":%.9g," \
               "\"theirs\":%.9g,\"advantage\":%s,\"runs\":%d,\"spread\":%s}\n", scenario, variant, peer, metric,
               better[metric], ours, theirs, number(advantage), count[peer, metric], number(spread)
    else
        printf "  %-22s %-7s %-22s %14.6g %14.6g %10s %8s\n", metric, better[metric], peer, ours, theirs, number(advantage),
               number(spread)
}

# All of ours and all of the peer's are one value.
function checksums_agree(peer,    words, n, i) {
    n = split(checksum["job"] " " checksum[peer], words, " ")
    for (i = 2; i <= n; i++) {
        if (words[i] != words[1])
            return 0
    }
    return checksum["job"] != "" && checksum[peer] != ""
}

END {
    n = split(peers, list, " ")
    if (format == "table")
        printf "\n%s %s: medians of %d runs\n  %-22s %-7s %-22s %14s %14s %10s %8s\n", scenario, variant,
               count["job", metrics[1]], "metric", "better", "peer", "ours", "theirs", "advantage", "spread"
    for (m = 1; m <= metric_count; m++) {
        for (i = 1; i <= n; i++) {
            if (count["job", metrics[m]] && count[list[i], metrics[m]])
                compare(list[i], metrics[m])
        }
    }
    for (i = 1; i <= n; i++) {
        if (!checksums_agree(list[i])) {
            printf "bench: %s %s: checksums differ: ours%s, %s%s\n", scenario, variant, checksum["job"], list[i],
                   checksum[list[i]] > "/dev/stderr"
            bad = 1
        }
    }
    exit bad
}
