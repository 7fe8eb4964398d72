"""What million.py asks of the host and changes on it: limits that it raises and puts back, memory, processes."""

import ctypes
import json
import os
import resource
import shutil
import signal
import time

TICKS = os.sysconf("SC_CLK_TCK")
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
# Slab caches of a TCP connection and of who watches it with epoll.
SOCKET_CACHES = ("TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "lsm_inode_cache", "lsm_file_cache", "ep_head")


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# ---- what is put back


class Undo:
    """Puts back what was changed when this process has ended, however it ended: a child waits for that, in a session of
    its own, and does it. What is to be put back is noted before it is changed."""

    def __init__(self):
        reading, self.writing = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(self.writing)
            try:
                os.setsid()
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                nothing = os.open(os.devnull, os.O_RDWR)
                for standard in (0, 1, 2):
                    os.dup2(nothing, standard)
                with os.fdopen(reading, encoding="utf-8") as notes:
                    for line in reversed(notes.readlines()):  # at the end of the other process
                        self.put_back(**json.loads(line))
            finally:
                os._exit(0)
        os.close(reading)

    @staticmethod
    def put_back(setting=None, value=None, folder=None):
        if setting:
            with open(setting, "w", encoding="ascii") as file:
                file.write(value)
            return
        for _ in range(100):  # whoever still writes there is about to end as well
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                return
            time.sleep(0.1)

    def note(self, **what):
        os.write(self.writing, (json.dumps(what) + "\n").encode())

    def now(self):
        os.close(self.writing)
        os.waitpid(self.child, 0)


class Limits:
    """Kernel limits that a large fleet meets, raised while the run lasts."""

    def __init__(self, may_change, undo):
        self.may_change, self.undo, self.refused = may_change, undo, []

    def get(self, name):
        return [int(word) for word in read("/proc/sys/" + name.replace(".", "/")).split()]

    def at_least(self, name, wanted):
        path, found = "/proc/sys/" + name.replace(".", "/"), self.get(name)[0]
        if found >= wanted:
            return
        try:
            if not self.may_change:
                raise PermissionError
            self.undo.note(setting=path, value=str(found))
            with open(path, "w", encoding="ascii") as file:
                file.write(str(wanted))
        except OSError:
            self.refused.append(f"{name} is {found}: sudo sysctl -w {name}={wanted}")

    def drop_unused(self):
        """Directory entries and inodes that nobody uses: of /proc alone there may be hundreds of MiB, which would be
        taken for the fleet's. Connections keep what is theirs."""
        if not self.may_change:
            return
        try:
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
                file.write("2")
        except OSError:
            pass


# ---- memory


def meminfo():
    return {line.split(":")[0]: int(line.split()[1]) for line in read("/proc/meminfo").splitlines()}


def available_kib():
    return meminfo()["MemAvailable"]


def slabs():
    """Slab cache → (KiB, KiB of one object with its share of what is left over). Empty, if we may not know."""
    try:
        rows = [line.split() for line in read("/proc/slabinfo").splitlines()[2:]]
    except OSError:
        return {}
    return {row[0]: (int(row[14]) * int(row[5]) * 4, int(row[5]) * 4 / int(row[4])) for row in rows}


def sockstat(key):
    """Of TCP, in this network namespace: "inuse", both ends of a loopback connection; "mem", pages of buffers."""
    for line in read("/proc/net/sockstat").splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index(key) + 1])
    return 0


def kernel_kib(memory, caches):
    """Slab, TCP buffers, page tables, kernel stacks; without what reading /proc left there, which grows by being read."""
    total = memory["Slab"] + memory["PageTables"] + memory["KernelStack"] + sockstat("mem") * 4
    inodes, each = caches.get("proc_inode_cache", (0, 1))
    beside = sum(caches[name][1] for name in ("dentry", "lsm_inode_cache") if name in caches)
    return total - inodes - inodes / each * beside


def host_memory():
    """KiB at this moment. `used` is all that is not free, without the page cache of files; `taken` is what `free` calls
    used: there, inodes and directory entries count as available, although those of an open socket can't be had."""
    memory, caches = meminfo(), slabs()
    used = memory["MemTotal"] - memory["MemFree"] - memory["Buffers"] - memory["Cached"] + memory["Shmem"]
    return {"used": used, "taken": memory["MemTotal"] - memory["MemAvailable"], "kernel": kernel_kib(memory, caches),
            "caches": {name: caches[name][0] for name in SOCKET_CACHES if name in caches}}


# ---- processes


def family(pid):
    """A process and all its descendants."""
    found, wanted = [], [pid]
    while wanted:
        one = wanted.pop()
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                wanted += [int(child) for child in read(f"/proc/{one}/task/{task}/children").split()]
            found.append(one)
        except OSError:
            continue
    return found


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            total += sum(int(line.split()[1]) for line in read(f"/proc/{pid}/smaps_rollup").splitlines()
                         if line.startswith("Pss:"))
        except OSError:
            continue
    return total


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        try:
            fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return ticks / TICKS
