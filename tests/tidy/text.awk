# text.awk — the house rules that can be checked on the text of a file. Called by tidy with all files of a tree.
#
# Comments and strings are taken out of each line first (code, comment), so that a rule for code does not read prose. What
# needs the whole tree, whether a function that a comment names exists, waits until END. One line of output a violation:
#     path:line: rule: text

BEGIN {
    split(decisions, list, " ")
    for (i in list)
        is_decision[list[i]] = 1
    bad_calls = words("printf vprintf puts putchar fprintf vfprintf fputs fputc perror exit _exit _Exit quick_exit abort" \
                      " sprintf vsprintf strcpy strcat strtok gets alloca setjmp longjmp signal sigaction sigset" \
                      " malloc calloc realloc free aligned_alloc posix_memalign strdup strndup asprintf" \
                      " getenv setenv putenv system popen fork vfork sleep usleep nanosleep rand srand random atoi atol" \
                      " pthread_cancel pthread_kill ck_ring_repair ck_ring_valid")
    split(bad_calls, list, " ")
    for (i in list)
        is_banned[list[i]] = 1
    split(layers, list, " ")
    for (i in list)
        rank[list[i]] = i + 0   # a number: the ninth stands left of the tenth
    OP = "(load|store|exchange|cas|fetch_add|fetch_sub|fetch_or|fetch_and|fetch_xor)_(relaxed|acquire|release|acq_rel|seq_cst)|fence_seq_cst"
}

function words(text) { return text }

function refuse(rule, text) { refuse_at(FILENAME, FNR, rule, text) }

function refuse_at(path, line, rule, text) { print path ":" line ": " rule ": " text }

# The column that a reader sees: a byte that continues a UTF-8 character takes none.
function width(text)
{
    gsub(/[\200-\277]/, "", text)
    return length(text)
}

# Splits a line into code and comment; a comment that ends is complete in `ended`, with its lines joined.
function split_line(text,    c, two, quote, at)
{
    code = comment = ended = ""
    if (!in_comment && text !~ /["'\/]/) {   # most lines are only code
        code = text
        sub(/[ \t\\]+$/, "", code)
        return
    }
    if (in_comment && !index(text, "*/")) {
        comment = text
        so_far = so_far text " "
        return
    }
    for (at = 1; at <= length(text); at++) {
        c = substr(text, at, 1)
        two = substr(text, at, 2)
        if (in_comment) {
            if (two == "*/") {
                in_comment = 0
                ended = ended " " so_far
                at++
            } else {
                comment = comment c
                so_far = so_far c
            }
        } else if (quote != "") {
            if (c == "\\")
                at++
            else if (c == quote) {
                quote = ""
                code = code c
            }
        } else if (two == "/*") {
            in_comment = 1
            so_far = ""
            comment_begin = FNR
            comment = comment " "
            at++
        } else if (two == "//") {
            refuse("line-comment", "comments are /* */")
            break
        } else {
            if (c == "\"" || c == "'")
                quote = c
            code = code c
        }
    }
    if (in_comment)
        so_far = so_far " "
    sub(/[ \t\\]+$/, "", code)
}

FNR == 1 {
    in_comment = in_function = is_joined = 0
    paragraph = paragraph_comment = signature = above = ""
    in_lib = FILENAME ~ /^lib\// && FILENAME !~ /^lib\/testkit\//   # which stands beside: linked by tests, no part of libjob.a
    in_public = FILENAME ~ /^include\//
    is_c = FILENAME ~ /\.[ch]$/
    name = FILENAME
    sub(/^.*\//, "", name)
    exists[name] = 1
    is_path[FILENAME] = 1
    file_comment()
}

FNR == 2 && !is_c && first_line ~ /^#!/ && $0 !~ /^# ./ { refuse("file-comment", "the second line says what the script is for") }

# Every file says first what it is for: "/* name.c — …".
function file_comment()
{
    first_line = $0
    if (is_c && index($0, "/* " name " — ") != 1)
        refuse("file-comment", "the first line is not \"/* " name " — what it is for\"")
}

# every kind of file

/[ \t\r]$/ { refuse("whitespace", "the line ends in white space") }
/\t/ && FILENAME !~ /\.patch$/ { refuse("whitespace", "a tab") }
/TO[D]O|FIX[M]E|X[X]X[^X]/ { refuse("left-over", "a note to do something is not doing it") }

!is_c { next }

{
    split_line($0)
    if (width($0) > 140 || width(code) > 120)   # the words of a message do not count: they are not broken in two
        refuse("line-length", "code ends at column 120, comments at 140")
    if (comment ~ /(----|====|\*\*\*\*)/)
        refuse("banner", "a section of a file is a paragraph, or its own file")
    if (ended != "")
        references(ended)
    functions()
}

in_lib || in_public {
    calls()
    includes()
    if (code ~ /(^|[^A-Za-z0-9_])typedef +(struct|union|enum)/)
        refuse("typedef", "types are `struct x`")
    if (code ~ /(^|[^A-Za-z0-9_])_Thread_local|__thread([^A-Za-z0-9_]|$)/)
        refuse("thread-local", "base/self.c holds the one thread-local variable")
    if (code ~ /__atomic_|__sync_|_Atomic|(^|[^A-Za-z0-9_])volatile([^A-Za-z0-9_]|$)/ && code !~ /__asm__ volatile/)
        refuse("raw-atomic", "base/atomic.h has the accesses")
    if (FILENAME != "lib/base/atomic.h")
        pairing()
}

in_public { public() }

# lib/ and include/

function calls(    rest, at, word, before, after)
{
    rest = code
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*/)) {
        word = substr(rest, RSTART, RLENGTH)
        before = RSTART > 1 ? substr(rest, RSTART - 1, 1) : ""
        after = substr(rest, RSTART + RLENGTH)
        if (word in is_banned && after ~ /^ *\(/ && before !~ /[.>]/)
            refuse("banned-call", word "()")
        else if (word ~ /^ck_ring_.*_mp[a-z]*$/ || word ~ /^ck_ring_.*_[a-z]pmc$/ && word !~ /dequeue_spmc$|enqueue_spmc$/)
            refuse("banned-call", word ": producers would wait for each other")
        else if (word ~ /^ck_stack_(batch_)?pop_(mpmc|mpnc)$/ || word ~ /^ck_(fifo|hp|epoch|hs|ht|rhs|queue|bag|array|barrier|rwlock)_/)
            refuse("banned-call", word ": has known bugs in CK 0.7.1, or was not examined")
        rest = after
    }
}

function includes(    header, from, to)
{
    if (code !~ /^ *# *include/)
        return
    header = $0
    sub(/^[^<"]*[<"]/, "", header)
    sub(/[>"].*$/, "", header)
    if (header ~ /^liburing/ && FILENAME !~ /^lib\/engine\//)
        refuse("foreign-include", "liburing is for lib/engine/ alone")
    if (header ~ /^ck_/ && FILENAME !~ /^lib\/(queue|base)\//)
        refuse("foreign-include", "ck is for lib/queue/ and lib/base/ alone")
    if (header ~ /^ck_(fifo|hp|hp_fifo|hp_stack|epoch|hs|ht|rhs|queue|bag|array|barrier|rwlock)\.h$/)
        refuse("banned-call", header " has known bugs in CK 0.7.1, or was not examined")
    if (header == "assert.h" || header == "stdatomic.h")
        refuse("foreign-include", "base/ has ours")
    if (in_public && $0 ~ /"/)
        refuse("layer-include", "a public header includes <job/…> alone")
    if ($0 !~ /"/ || FILENAME !~ /^lib\/.*\//)
        return
    from = FILENAME
    sub(/^lib\//, "", from)
    sub(/\/.*$/, "", from)
    to = header
    if (to ~ /^job\//)
        return   # a public header; what it declares is checked by symbols
    if (!sub(/\/.*$/, "", to) || !(to in rank))
        refuse("layer-include", "\"" header "\" does not begin with a layer's name")
    else if (!(from in rank))
        refuse("layer-include", "lib/" from "/ is not in tests/tidy/layers")
    else if (rank[to] > rank[from])
        refuse("layer-include", from " stands left of " to " and may not know it")
}

# What an ordered access pairs with stands in a comment at its statement or right above it; a relaxed one has a comment in
# its paragraph or above that says why it needs no order.
function pairing(    text)
{
    text = code
    gsub(/counter_add/, "", text)
    if (is_joined)
        joined_comment = joined_comment comment
    else {
        joined_comment = above comment
        ordered = relaxed = 0
    }
    if (text ~ /^ *#define/ && text ~ /,/ && text !~ /\(.*\).*\(/)
        text = ""   # an operation's name as a macro's argument
    if (match(text, "(" OP ")(\\(|,)")) {
        if (!is_joined)
            statement_line = FNR
        if (text ~ /_relaxed\(/ && text !~ /_(acquire|release|acq_rel|seq_cst)\(/)
            relaxed = 1
        else
            ordered = 1
    }
    is_joined = code != "" && code !~ /[;{}:]$/ && code !~ /^ *#/ && $0 !~ /\\$/
    if (!is_joined && ordered && joined_comment !~ /[Pp]airs with/)
        refuse_at(FILENAME, statement_line, "pairing", "an ordered access says \"pairs with …\"")
    if (!is_joined && relaxed && joined_comment == "" && paragraph_comment == "" && comment == "")
        refuse_at(FILENAME, statement_line, "pairing", "a relaxed access says why it needs no order")
    if (code == "" && $0 != "")
        above = above comment
    else if (!is_joined)
        above = ""
    if ($0 == "")
        paragraph_comment = ""
    else
        paragraph_comment = paragraph_comment comment
}

function public(    text)
{
    if (code ~ /(^|[^A-Za-z0-9_])(io_uring|ck_)[A-Za-z0-9_]*/)
        refuse("public-type", "no type of liburing or ck in a public header")
    if (match(code, /^ *# *define +[A-Za-z0-9_]+/)) {
        text = substr(code, RSTART, RLENGTH)
        sub(/^.* /, "", text)
        if (text !~ /^(JOB_|job_)/)
            refuse("public-name", text)
    }
    if (code ~ /^JOB_API /) {
        text = code
        sub(/\(.*$/, "", text)
        sub(/^.*[ *]/, "", text)
        if (text !~ /^job_/)
            refuse("public-name", text)
        if (paragraph !~ /Thread:/)
            refuse("api-comment", text "() does not say \"Thread:\"")
    }
    paragraph = $0 == "" ? "" : paragraph " " comment
}

# functions and what comments say of them

function functions(    text)
{
    if (code == "{") {
        text = signature
        gsub(/__attribute__ *\(\(.*\)\)/, "", text)
        sub(/START_TEST *\(/, "", text)
        sub(/ *[()].*$/, "", text)
        sub(/^.*[ *]/, "", text)
        in_function = FNR
        function_name = text
        defined[text] = 1
        signature = ""
    } else if (code == "}" && in_function) {
        if (FNR - in_function > 70)
            refuse_at(FILENAME, in_function, "function-length", function_name "() has " FNR - in_function - 1 " lines")
        lengths = lengths sprintf("%d %s %s:%d\n", FNR - in_function - 1, function_name, FILENAME, in_function)
        in_function = 0
        signature = ""
    } else if (code ~ /^#/ || (code ~ /[;}]$/ && !in_function))
        signature = ""
    else if (!in_function)
        signature = signature " " code
    if (match(code, /^# *define +[a-z_A-Z0-9]+\(/)) {
        text = substr(code, RSTART, RLENGTH - 1)
        sub(/^.* /, "", text)
        defined[text] = 1
    } else if (in_public && code ~ /^JOB_API/ || code ~ /^[a-z].*\(.*[;,]$/) {
        text = code
        sub(/\(.*$/, "", text)
        sub(/^.*[ *]/, "", text)
        defined[text] = 1
    }
    text = code
    while (match(text, OP)) {
        uses[FILENAME, substr(text, RSTART, RLENGTH)] = 1
        if (in_function)
            uses[function_name, substr(text, RSTART, RLENGTH)] = 1
        text = substr(text, RSTART + RLENGTH)
    }
}

# Remembers what END resolves.
function references(text,    word)
{
    gsub(/[ \n*]+/, " ", text)
    note("pairs", text, "[Pp]airs with [^;.:]*")
    note("see", text, "[Ss]ee (also )?[a-z_0-9]+\\(\\)")
    note("decision", text, "docs/decisions/[0-9]*")
    if (in_lib)
        note("file", text, "(^|[^A-Za-z0-9_/<.])[a-z_0-9/]+\\.[ch]([^a-z0-9]|$)")
}

function note(kind, text, pattern)
{
    while (match(text, pattern)) {
        noted++
        noted_kind[noted] = kind
        noted_text[noted] = substr(text, RSTART, RLENGTH)
        noted_path[noted] = FILENAME
        noted_line[noted] = comment_begin
        text = substr(text, RSTART + RLENGTH)
    }
}

function resolve(i,    kind, text, path)
{
    kind = noted_kind[i]
    text = noted_text[i]
    path = noted_path[i]
    if (kind == "pairs")
        resolve_pairs(i, text)
    else if (kind == "see") {
        sub(/^.* /, "", text)
        sub(/\(\)$/, "", text)
        if (!(text in defined))
            refuse_at(path, noted_line[i], "reference", text "() does not exist")
    } else if (kind == "decision") {
        if (!(text in is_decision))
            refuse_at(path, noted_line[i], "reference", text " does not exist")
    } else {
        gsub(/[^a-z_0-9\/.]/, "", text)
        sub(/\.$/, "", text)
        sub(/^.*\//, "", text)
        if (!(text in exists) && text !~ /^(ck_|linux)/)
            refuse_at(path, noted_line[i], "reference", text " does not exist")
    }
}

# "pairs with OP in FUNCTION", several of them, "OP above", "OP below", "itself", "all accesses here", "the reader", "the kernel".
function resolve_pairs(i, text,    op, rest, is_known)
{
    if (text ~ /[Pp]airs with (itself|all accesses here|the reader|the kernel)/)
        is_known = 1
    while (match(text, OP)) {
        op = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        rest = text
        if (rest ~ /^ (above|below|and the others here)/) {
            is_known = 1
            if (!((noted_path[i], op) in uses))
                refuse_at(noted_path[i], noted_line[i], "reference", "no " op " in this file")
            continue
        }
        while (match(rest, /^( in| and|,)( in)? [a-z_0-9]+/)) {
            rest_name = substr(rest, RSTART, RLENGTH)
            rest = substr(rest, RSTART + RLENGTH)
            sub(/^.* /, "", rest_name)
            if (rest_name ~ "^(" OP ")$" || rest_name == "with")
                break
            is_known = 1
            if (!((rest_name, op) in uses))
                refuse_at(noted_path[i], noted_line[i], "reference", "no " op " in " rest_name "()")
        }
    }
    if (!is_known)
        refuse_at(noted_path[i], noted_line[i], "reference", "\"" noted_text[i] "\" names no access in a function")
}

END {
    for (i = 1; i <= noted; i++)
        resolve(i)
    if (lengths_file != "")
        printf "%s", lengths > lengths_file
}
