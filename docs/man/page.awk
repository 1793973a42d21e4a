# page.awk — the manual page of a public header, in scdoc's language, from the header's own comments:
#   awk -v version=0.1.0 -f docs/man/page.awk include/job/buf.h     the page
#   awk -v names=1 -f docs/man/page.awk include/job/buf.h           the functions on it, one a line
#   awk -v line=1 -f docs/man/page.awk include/job/buf.h            its entry in the list of libjob(7)
#
# A header is paragraphs, parted by blank lines: a comment, and what it says it of. The first comment describes the whole; one with nothing
# below it stands as text where it is. Members that begin with job_ are the library's, and are not shown.

# gsub() of some awks is recursive, and gives up on long texts.
function replace(text, pattern, with,    parts, count, i, out)
{
    count = split(text, parts, pattern)
    out = parts[1]
    for (i = 2; i <= count; i++)
        out = out with parts[i]
    return out
}

function escape(text)
{
    gsub(/[\\_*#+~<>\[\]|.-]/, "\\\\&", text)
    while (match(text, /`[^`]+`/))
        text = substr(text, 1, RSTART - 1) "*" substr(text, RSTART + 1, RLENGTH - 2) "*" substr(text, RSTART + RLENGTH)
    return text
}

function bold(text) { return "*" escape(text) "*" }

# A paragraph in the making: words are joined until something ends it.
function flush()
{
    if (held != "")
        body = body indent held "\n" (indent == "" ? "\n" : "")
    held = ""
}

function add(text,    at)
{
    sub(/^ +/, "", text)
    if (match(text, /[.?)] (Thread|Shutdown): /)) {   # a paragraph of its own, wherever it stands
        at = RSTART
        held = held (held == "" ? "" : " ") escape(substr(text, 1, at))
        finish_list()
        add(substr(text, at + 2))
        return
    }
    held = held (held == "" ? "" : " ") escape(text)
}

function finish_list()
{
    flush()
    if (indent != "")
        body = body "\n"
    indent = ""
}

function finish_literal()
{
    if (is_literal)
        body = body "```\n\n"
    is_literal = 0
}

# One comment, without its marks, as paragraphs, diagrams, lists, arguments and errors.
function prose(text,    lines, count, i, line, is_tagged)
{
    count = split(text, lines, "\n")
    body = held = indent = ""
    is_literal = is_tagged = 0
    for (i = 1; i <= count; i++) {
        line = lines[i]
        sub(/ +$/, "", line)
        if (line == "") {
            flush()
            if (!is_literal)
                finish_list()
            else
                body = body "\n"
            is_tagged = 0
        } else if (!is_tagged && line ~ /^     *[^ ]/) {
            flush()
            if (!is_literal)
                body = body "```\n"
            is_literal = 1
            if (match(line, /^ +int job_[a-z_]+32\(/))   # a family, made by macros: all widths
                family(substr(line, 1, RLENGTH - 3))
            sub(/^     /, "", line)
            body = body replace(line, "\\\\", "\\\\") "\n"
        } else {
            finish_literal()
            line = tagged(line)
            if (line ~ /^[*]/)
                is_tagged = 1
        }
    }
    finish_literal()
    finish_list()
    sub(/\n+```/, "\n```", body)
    return body
}

function family(stem,    i)
{
    sub(/^ +int /, "", stem)
    for (i = 8; i <= 64; i *= 2)
        names_found = names_found stem i "\n"
}

function tagged(line,    at)
{
    if (match(line, /^@param [^ ]+(, [^ ]+)*/)) {
        at = RLENGTH + 1
        flush()
        body = body bold(substr(line, 8, at - 8)) "\n"
        indent = "\t"
        add(substr(line, at))
        return "*"
    }
    if (line ~ /^@return /) {
        finish_list()
        body = body "Returns\n"
        indent = "\t"
        add(substr(line, 9))
        return "*"
    }
    if (match(line, /[.)?] +@return /)) {
        at = RSTART + 1
        tagged(substr(line, 1, at - 1))
        line = substr(line, at)
        sub(/^ +/, "", line)
        return tagged(line)
    }
    if (line ~ /^(Thread|Shutdown): /)
        finish_list()
    else if (match(line, /^ +- /)) {
        flush()
        sub(/^ +- /, "", line)
        held = "- " escape(line)
        return line
    } else if (indent != "" && line ~ /^ +-E[A-Z]+/) {
        flush()
        sub(/^ +/, "", line)
        sub(/  +/, ": ", line)
        held = "- " escape(line)
        return "*"
    }
    add(line)
    return indent != "" ? "*" : line
}

# A struct or an enum: its members, each with what stands behind or above it.
function members(code,    lines, count, i, line, note, name, out)
{
    count = split(code, lines, "\n")
    for (i = 2; i <= count; i++) {
        line = lines[i]
        gsub(/^ +| +$/, "", line)
        sub(/^#define /, "", line)
        note = ""
        if (match(line, /\/\*.*$/)) {
            note = substr(line, RSTART + 2)
            line = substr(line, 1, RSTART - 1)
            while (note !~ /\*\// && i < count) {
                name = lines[++i]
                sub(/^ +(\* ?)?/, "", name)
                note = note " " name
            }
            sub(/ *\*\/.*$/, "", note)
            gsub(/^ +/, "", note)
            sub(/ +$/, "", line)
        }
        while (line ~ /[,(]$/ && line ~ /\(/) {   # a member on several lines
            name = lines[++i]
            sub(/^ +/, "", name)
            line = line (line ~ /\($/ ? "" : " ") name
        }
        if (line == "" && note != "" && note !~ /^The library's/)
            out = out escape(note) "\n\n"
        if (line == "" || line ~ /^}|^union {/ || line ~ /[ *]job_[a-z0-9_]+(\[[0-9]+\])?[;,]|\(\*job_/)
            continue
        out = out bold(line) "\n" (note == "" ? "" : "\t" escape(note) "\n") "\n"
    }
    return out
}

function uncomment(text)
{
    sub(/^\/\*\*? ?\n?/, "", text)
    sub(/[ \n]*\*\/[ \n]*$/, "", text)
    sub(/^ \* ?/, "", text)
    return replace(text, "\n \\* ?", "\n")
}

# All prototypes of a paragraph, one a line.
function prototypes(code,    rest, out, one)
{
    rest = replace(code, "[ \n]+", " ")
    while (match(rest, /JOB_(API|INLINE) [^({;]*\([^;{]*\) *[;{]/)) {
        one = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        sub(/^JOB_(API|INLINE) /, "", one)
        sub(/ *[;{]$/, ";", one)
        gsub(/__attribute__\(\([^)]*(\([^)]*\))?[^)]*\)\) /, "", one)
        out = out one "\n"
    }
    return out
}

function name_of(prototype)
{
    sub(/\(.*$/, "", prototype)
    sub(/^.*[ *]/, "", prototype)
    return prototype
}

function paragraph(    comment, code, list, count, i, heading)
{
    code = text
    text = ""
    comment = ""
    if (code ~ /^\/\*/) {
        i = index(code, "*/") + 1
        comment = uncomment(substr(code, 1, i))
        code = substr(code, i + 1)
        sub(/^\n+/, "", code)
    }
    if (!is_described) {
        is_described = 1
        header = comment
    } else if (code ~ /^JOB_(API|INLINE) /) {
        count = split(prototypes(code), list, "\n") - 1
        for (i = 1; i <= count; i++) {
            names_found = names_found name_of(list[i]) "\n"
            synopsis = synopsis bold(list[i]) "\n\n"
            heading = heading (i > 1 ? ", " : "") name_of(list[i]) "()"
        }
        if (comment == "")
            functions = functions "\n"
        functions = functions "## " escape(heading) "\n\n" prose(comment)
    } else if (code ~ /^typedef /) {
        sub(/\n+$/, "", code)
        gsub(/\n +/, " ", code)
        types = types "## " escape(name_of(code)) "\n\n" bold(code) "\n\n" prose(comment)
    } else if (match(code, /^(struct|enum) [a-z_0-9]* ?{/)) {
        heading = substr(code, 1, RLENGTH - 1)
        sub(/ $/, "", heading)
        types = types "## " (heading == "enum" ? "constants" : escape(heading)) "\n\n" prose(comment)
        if (code ~ /^enum[^\n]*};/)
            types = types bold(substr(code, 1, index(code, ";"))) "\n\n"
        else
            types = types members(code)
    } else if (code ~ /^#define /) {
        types = types "## constants\n\n" prose(comment) members("\n" code)
    } else if (comment != "" && code !~ /^(#include|#ifndef)/)
        functions = functions prose(comment)
}

FNR == 1 {
    stem = FILENAME
    sub(/^.*\//, "", stem)
    sub(/\.h$/, "", stem)
}

# A macro that makes functions has blank lines of its own, and nothing to say.
is_macro || /^#/ && !/^#define JOB_[A-Z_]+ / {
    is_macro = /\\$/
    next
}
$0 == "" && !depth {
    if (text != "")
        paragraph()
    next
}
{
    bare = $0
    if (!in_comment || bare ~ /\*\//)
        gsub(/\/\*.*\*\//, "", bare)
    if (bare ~ /\/\*/)
        in_comment = 1
    if (bare ~ /\*\//)
        in_comment = 0
    else if (!in_comment)
        depth += gsub(/{/, "{", bare) - gsub(/}/, "}", bare)
    text = text $0 "\n"
    if (in_header_end = (FNR > 1 && !is_described && /\*\/$/))
        paragraph()
}

END {
    if (text != "")
        paragraph()
    first = header
    sub(/\n\n.*$/, "", first)
    rest = substr(header, length(first) + 1)
    gsub(/\n/, " ", first)
    sub(/^[^—]*— */, "", first)
    if (match(first, /[.] [A-Z]/)) {
        rest = substr(first, RSTART + 2) rest
        first = substr(first, 1, RSTART)
    }
    sub(/[.]$/, "", first)
    if (names) {
        printf "%s", names_found
        exit
    }
    if (line) {
        printf "%s(3)\n\t%s\n", bold("job_" stem), escape(first)
        exit
    }
    printf "job_%s(3) \"libjob %s\"\n\n# NAME\n\njob_%s - %s\n\n", stem, version, stem, escape(first)
    printf "# SYNOPSIS\n\n%s\n\n%s", bold("#include <job/" stem ".h>"), synopsis
    rest = prose(rest)
    if (rest ~ /[^ \n]/)
        printf "# DESCRIPTION\n\n%s", rest
    if (types != "")
        printf "# TYPES\n\n%s", types
    if (functions != "")
        printf "# FUNCTIONS\n\n%s", functions
    printf "# SEE ALSO\n\n*libjob*(7), which says what errors, ownership and \"Thread:\" mean.\n"
}
