# job.py — gdb looks at libjob in a live process or a core: source tools/gdb/job.py
#
#   job loops          each thread that runs a loop or a task, and which
#   job loop [EXPR]    a loop: handles, operations in flight, lanes, what waits to be delivered; without EXPR that of this thread
#   job task EXPR      a task: state, functions, what it owns
#   job buf EXPR       a buf: its segments, their owners and windows
#
# `print` shows tasks and bufs in one line. It reads the library's own structs, so libjob must have been built with -g. It calls nothing in
# the process.
import gdb


def integer(value):
    return int(value.cast(gdb.lookup_type("unsigned long")))


def enumerator(enum, value):
    for field in gdb.lookup_type("enum " + enum).fields():
        if field.enumval == int(value):
            return field.name.split("_", 1)[1].lower().replace("_", " ")
    return "damaged (%d)" % int(value)


def function(pointer):
    if integer(pointer) == 0:
        return "none"
    block = gdb.block_for_pc(integer(pointer))
    return block.function.name if block and block.function else hex(integer(pointer))


def text(value):
    return value.string(errors="replace")


def container(node, type_name, member):
    """The struct around a list node; a member of another type lends it its words."""
    kind = gdb.lookup_type("struct " + type_name)
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    address = integer(node) - offset
    return gdb.Value(address).cast(kind.pointer())


def nodes(head):
    """The nodes of a struct list; one that is damaged ends, and says so."""
    start, node, count = integer(head.address), head["next"], 0
    while integer(node) != start:
        if count == 100000 or integer(node) == 0:
            print("    … the list is damaged, or longer than 100000")
            return
        yield node
        node = node["next"]
        count += 1


def segments(buf):
    while integer(buf) != 0:
        yield buf
        buf = buf["next"]


def buf_line(buf):
    return "buf %s: %d bytes in %d segments, owner %s" % (
        hex(integer(buf)), int(buf["total"]), int(buf["segments"]), enumerator("buf_owner", buf["owner"]))


def show_buf(buf):
    print(buf_line(buf))
    for segment in segments(buf):
        slot = segment["slot"]
        at = integer(segment["data"]) - integer(slot["memory"])
        print("    %d bytes at %s: place %d of a slot of %d, window %d to %d, %d pieces%s" % (
            int(segment["len"]), hex(integer(segment["data"])), at, int(slot["size"]), int(segment["low"]),
            int(segment["high"]), int(slot["pieces"]), ", frozen" if segment["is_frozen"] else ""))


def task_line(task):
    return "task %s: %s, %s()" % (
        hex(integer(task)), enumerator("task_state", task["job_state"]), function(task["job_run"]))


def show_task(task):
    print(task_line(task))
    print("    done %s(), status %d, pool %s" % (
        function(task["job_done"]), int(task["job_status"]),
        text(task["job_pool"]["name"]) if integer(task["job_pool"]) else "none"))
    if integer(task["job_handle"]) != 0:
        print("    for " + handle_line(task["job_handle"]))
    if integer(task["buf"]) != 0:
        print("    owns " + buf_line(task["buf"]))
    if int(task["job_region_count"]) > 0:
        print("    shares %d regions" % int(task["job_region_count"]))


def handle_line(handle):
    kind = handle["job_kind"].cast(gdb.lookup_type("struct handle_kind").pointer())
    state = int(handle["job_state"])
    words = [enumerator("handle_state", state & 3)]
    if state & 4:
        words.append("unreferenced")
    return "%s %s: %s, %d operations and tasks" % (
        text(kind["name"]), hex(integer(handle)), ", ".join(words), int(handle["job_pending"]))


def tasks_of(handle):
    kind = gdb.lookup_type("struct list")
    for node in nodes(handle["job_tasks"].address.cast(kind.pointer()).dereference()):
        yield container(node, "job_task", "job_list")


def show_operations(loop):
    ring = loop["engine"].cast(gdb.lookup_type("struct ring_engine").pointer())
    table = ring["table"]
    print("  operations in flight: %d" % int(table["count"]))
    now = int(loop["now_ns"])
    for i in range(int(table["capacity"])):
        op = table["entries"][i]["op"]
        if integer(op) != 0:
            print("    %s of descriptor %d, for %.3f s%s" % (
                enumerator("op_kind", op["kind"]), int(op["fd"]), (now - int(op["since_ns"])) / 1e9,
                ", cancelled" if op["is_cancelled"] else ""))


def show_lanes(loop):
    for node in nodes(loop["lanes"]):
        record = container(node, "loop_lane", "node")
        deque = record["lane"]["deque"]
        waiting = sum(1 for _ in nodes(record["waiting"]))
        print("  lane to pool %s: %d of %d tasks%s" % (
            text(record["pool"]["name"]), int(deque["bottom"]) - int(deque["top"]), int(record["lane"]["capacity"]),
            ", %d wait for room" % waiting if waiting else ""))


def mails(first):
    count = 0
    while integer(first) != 0 and count < 100000:
        count += 1
        first = first["job_next"]
    return count


def show_loop(loop):
    print("loop %s \"%s\": %s, %d handles, %d keep it running, %d tasks out" % (
        hex(integer(loop)), text(loop["name"]),
        "closing" if loop["is_closing"] else "running" if loop["is_running"] else "not running",
        int(loop["handle_count"]), int(loop["alive"]), int(loop["tasks_out"])))
    print("  to be delivered: %d completions, %d mails, %d backlogs, %d at the end of the turn" % (
        int(loop["ready_count"]) - int(loop["ready_next"]), mails(loop["mails"]["first"]), mails(loop["due"]["first"]),
        mails(loop["deferred"]["first"])))
    for node in nodes(loop["handles"]):
        handle = container(node, "job_handle", "job_node")
        print("  " + handle_line(handle))
        for task in tasks_of(handle):
            print("    " + task_line(task))
    show_operations(loop)
    show_lanes(loop)


def this_thread():
    return gdb.parse_and_eval("'self.c'::this_thread")


def show_threads():
    before = gdb.selected_thread()
    for thread in sorted(gdb.selected_inferior().threads(), key=lambda t: t.num):
        thread.switch()
        try:
            me = this_thread()
            loop, task = me["loop"], me["task"]
            if integer(loop) != 0:
                print("thread %d: loop %s \"%s\", %d handles" % (
                    thread.num, hex(integer(loop)), text(loop["name"]), int(loop["handle_count"])))
            if integer(task) != 0:
                print("thread %d: %s" % (thread.num, task_line(task)))
        except gdb.error as error:   # a thread that has none of the library's state yet
            print("thread %d: %s" % (thread.num, error))
    before.switch()


def pointer_to(argument, type_name):
    """EXPR may be the thing, its address, or a number."""
    value = gdb.parse_and_eval(argument)
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
        value = value.address
    return value.cast(gdb.lookup_type("struct " + type_name).pointer())


class Job(gdb.Command):
    """Looks at libjob: job loops, job loop [EXPR], job task EXPR, job buf EXPR."""

    def __init__(self):
        super().__init__("job", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        verb, _, expression = argument.strip().partition(" ")
        if verb == "loops":
            show_threads()
        elif verb == "loop":
            loop = pointer_to(expression, "job_loop") if expression else this_thread()["loop"]
            if integer(loop) == 0:
                raise gdb.GdbError("this thread runs no loop: job loops")
            show_loop(loop)
        elif verb == "task" and expression:
            show_task(pointer_to(expression, "job_task"))
        elif verb == "buf" and expression:
            show_buf(pointer_to(expression, "job_buf"))
        else:
            raise gdb.GdbError(self.__doc__)


class OneLine:
    def __init__(self, line, value):
        self.line, self.value = line, value

    def to_string(self):
        return self.line(self.value.address) if self.value.address else "on no address"


def pretty_printer(value):
    kind = value.type.strip_typedefs()
    lines = {"job_buf": buf_line, "job_task": task_line}
    return OneLine(lines[kind.tag], value) if kind.code == gdb.TYPE_CODE_STRUCT and kind.tag in lines else None


Job()
gdb.pretty_printers.append(pretty_printer)
