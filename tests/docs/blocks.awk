# blocks.awk — the C blocks of a page as one source file `out`, with the page's own lines in the compiler's messages.
BEGIN { printf "" >out }
/^```c$/ {
    is_code = 1
    printf "#line %d \"%s\"\n", FNR + 1, FILENAME >out
    next
}
/^```/ { is_code = 0 }
is_code { print >out }
