/* segment.c — calls that a library has no business with. */
static void report(struct report *report)
{
    printf("hello\n");                      /* refused */
    fprintf(stderr, "%d\n", 1);             /* refused */
    perror("libjob");                       /* refused */
    exit(1);                                /* refused */
    abort();                                /* refused */
    sprintf(report->text, "%d", 1);         /* refused */
    strcpy(report->text, report->name);     /* refused */
    gets(report->text);                     /* refused */
    signal(SIGPIPE, SIG_IGN);               /* refused */
    sigaction(SIGPIPE, &action, NULL);      /* refused */
    report->text = malloc(1);               /* refused */
    free (report->text);                    /* refused */
    strdup(report->name);                   /* refused */
    getenv("HOME");                         /* refused */
    usleep(1000);                           /* refused */
    report->free(report);
    report_free(report);
    snprintf(report->text, 1, "free(x) and malloc(x) in a text");
}
