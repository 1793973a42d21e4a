# calls.awk — makes a C program of the public headers: every function is called with NULL, 0 and {0} for each argument.
#
# CALL_INT(name, call), CALL_VOID and CALL_VALUE say what comes back; null.h has what they do with it. Comments are dropped first; a
# declaration is then what stands between JOB_API or JOB_INLINE and the next ; or {. What a macro makes of job_region_NAME##bits is left out:
# unit_memory_region has all of these.

{
    sub(/\/\/.*/, "")
    text = text " " $0
}

function argument(declared) {
    if (declared ~ /\*/)
        return "NULL"
    if (match(declared, /struct [a-z0-9_]+/))
        return "(" substr(declared, RSTART, RLENGTH) "){0}"
    return "0"
}

# Splits at commas outside of parentheses: an argument may be a pointer to a function.
function arguments(list, result, depth, part, i, c) {
    if (list ~ /^ *(void)? *$/)
        return ""
    for (i = 1; i <= length(list) + 1; i++) {
        c = substr(list, i, 1)
        depth += (c == "(") - (c == ")")
        if (c == "" || (c == "," && depth == 0)) {
            result = result (result == "" ? "" : ", ") argument(part)
            part = ""
        } else {
            part = part c
        }
    }
    return result
}

function declaration(head, open, type, name, list, kind) {
    open = index(head, "(")
    type = substr(head, 1, open - 1)
    match(type, /job_[a-z0-9_]+ *$/)
    name = substr(type, RSTART)
    type = substr(type, 1, RSTART - 1)
    list = substr(head, open + 1)
    sub(/\)[^)]*$/, "", list)
    kind = type ~ /^ *int $/ ? "INT" : type ~ /^ *(_Noreturn )?void $/ ? "VOID" : "VALUE"
    printf "    CALL_%s(%s, %s(%s));\n", kind, name, name, arguments(list)
}

END {
    while (match(text, /\/\*/)) {
        rest = substr(text, RSTART + 2)
        text = substr(text, 1, RSTART - 1) substr(rest, index(rest, "*/") + 2)
    }
    print "#include \"null.h\"\n\nvoid call_all(void)\n{"
    while (match(text, /JOB_(API|INLINE) [^;{]*\)/)) {
        head = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        sub(/^JOB_(API|INLINE) /, "", head)
        sub(/ *__attribute__.*/, "", head)
        gsub(/ +/, " ", head)
        if (head !~ /##/)
            declaration(head)
    }
    print "}"
}
