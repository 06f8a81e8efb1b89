# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The system calls that each kind of process may make once its wall is up, and with which arguments.

A call that is not here fails with ENOSYS, which libraries can handle, since kernels lack calls too.
The lists follow three rules.  Nothing is done to another process, not even through the kernel.
Nothing is changed by its path.  Nothing is made that the kernel counts for the user instead of the
process, since other machines share that count.
"""

from typing import NamedTuple

MAX_U64 = (1 << 64) - 1
OWN_PROCESS = 0x5AFE_0001
"""Stands for the number of the process itself, which is known only when the list is put in
force.
"""


class Argument(NamedTuple):
    """The bits of ``mask`` in the argument at ``place`` must be ``value``."""

    place: int
    value: int
    mask: int = MAX_U64


Condition = tuple[Argument, ...]
"""All of these must hold; an empty condition always holds."""
Calls = dict[str, tuple[Condition, ...]]
"""The conditions of each call, of which one has to hold."""


def plain(names: str) -> Calls:
    """Calls that may be made with any arguments."""
    return dict.fromkeys(names.split(), ((),))


def one_of(place: int, *values: int) -> tuple[Condition, ...]:
    return tuple((Argument(place, value),) for value in values)


def without(place: int, bits: int) -> Argument:
    return Argument(place, 0, bits)


def joined(*lists: Calls) -> Calls:
    """Each call with the conditions of all lists."""
    found: Calls = {}
    for calls in lists:
        for name, conditions in calls.items():
            found[name] = found.get(name, ()) + conditions
    return found


# <fcntl.h>, numbers of all architectures that Debian has vgpud for
F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL = range(5)
F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS = 1030, 1031, 1033, 1034
O_ACCMODE, O_CREAT, O_TRUNC, O_TMPFILE = 0o3, 0o100, 0o1000, 0o20000000
AT_EMPTY_PATH = 0x1000
RLIMIT_AS = 9  # <sys/resource.h>
# <linux/sched.h>: what pthread_create() asks for, with glibc, and with musl's one bit more.
CLONE_DETACHED = 0x400000
THREAD = 0x3D0F00
# fork(), with glibc and with musl.
FORKS = (0x1200011, 17)
# <sys/mman.h>, <linux/memfd.h>: huge pages are few, and are meant for guests' memory.
MAP_HUGETLB, MFD_HUGETLB = 0x40000, 0x4
# <sys/socket.h>
AF_UNIX, SOCK_STREAM, SOCK_SEQPACKET = 1, 1, 5
SOCK_FLAGS = 0o2004000  # SOCK_CLOEXEC, SOCK_NONBLOCK
SOL_SOCKET, SO_SNDBUF, SO_PASSCRED, SO_SNDBUFFORCE = 1, 7, 16, 32
# <netinet/tcp.h>
IPPROTO_TCP, TCP_NODELAY = 6, 1
# <sys/ioctl.h>, <linux/sockios.h>
TCGETS, FIONBIO, FIONREAD, FIOCLEX, SIOCOUTQ = 0x5401, 0x5421, 0x541B, 0x5451, 0x5411
# <sys/prctl.h>
PR_SET_NAME, PR_GET_NAME, PR_SET_VMA = 15, 16, 0x53564D41
SIGABRT = 6
# <sys/resource.h>: the other kinds are the priority of a process group or a user.
PRIO_PROCESS = 0
KCMP_FILE = 0
# <linux/falloc.h>, with FALLOC_FL_KEEP_SIZE, without which the kernel refuses it.
FALLOC_FL_PUNCH_HOLE = 0x2 | 0x1

READ_ONLY = O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE
EXISTING = O_CREAT | O_TRUNC | O_TMPFILE

THREADS: Calls = {"clone": ((Argument(0, THREAD, MAX_U64 & ~CLONE_DETACHED),),)}

COMMON: Calls = joined(
    # For what is open already.
    plain(
        "read readv pread64 write writev close lseek dup dup2 dup3 fstat poll ppoll epoll_ctl epoll_wait epoll_pwait epoll_pwait2"
        " sendmsg recvmsg recvfrom shutdown getsockopt getsockname ftruncate"
    ),
    {
        # Not the commands that set an owner or a signal: the kernel would send signals for us.
        "fcntl": one_of(
            1,
            F_DUPFD,
            F_GETFD,
            F_SETFD,
            F_GETFL,
            F_SETFL,
            F_DUPFD_CLOEXEC,
            F_ADD_SEALS,
            F_GET_SEALS,
        ),
        # Listed one by one, since FIOSETOWN has the same type.
        "ioctl": one_of(1, TCGETS, FIONBIO, FIONREAD, FIOCLEX, SIOCOUTQ),
        # Only without an address.
        "sendto": one_of(4, 0),
    },
    # Memory.
    plain("brk munmap mprotect mremap madvise membarrier"),
    {
        "mmap": ((without(3, MAP_HUGETLB),),),
        "memfd_create": ((without(1, MFD_HUGETLB),),),
    },
    # Files, as far as Landlock lets them be read.
    plain(
        "newfstatat stat lstat statx access faccessat faccessat2 readlink readlinkat getdents64 getcwd"
    ),
    {
        "open": ((without(1, READ_ONLY),),),
        "openat": ((without(2, READ_ONLY),),),
    },
    # The process itself, its threads, its time.
    plain(
        "futex sched_yield set_robust_list rseq gettid getpid getuid geteuid getgid getegid exit exit_group rt_sigaction"
        " rt_sigprocmask rt_sigreturn sigaltstack restart_syscall clock_gettime clock_getres clock_nanosleep nanosleep"
        " gettimeofday time times getrandom uname sysinfo getrusage getcpu"
    ),
    {
        "prctl": one_of(0, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA),
        # As abort(3) does.  Any other signal could be queued without end, and queued signals are
        # counted for the user.
        "tgkill": ((Argument(0, OWN_PROCESS), Argument(2, SIGABRT)),),
        "sched_getaffinity": one_of(0, 0, OWN_PROCESS),
        "getrlimit": ((),),
        "prlimit64": ((Argument(0, 0), Argument(2, 0)),),
    },
)

SESSION: Calls = joined(
    COMMON,
    THREADS,
    plain("accept accept4 getpeername recvmmsg pidfd_open splice vmsplice"),
    {
        # For the present channel of each device process, and for the replies of each display.
        "socketpair": tuple(
            (Argument(0, AF_UNIX), Argument(1, kind, MAX_U64 & ~SOCK_FLAGS))
            for kind in (SOCK_STREAM, SOCK_SEQPACKET)
        ),
        "setsockopt": tuple(
            (Argument(1, SOL_SOCKET), Argument(2, option))
            for option in (SO_SNDBUF, SO_SNDBUFFORCE, SO_PASSCRED)
        ),
        # To give memory back; any other mode takes some.
        "fallocate": one_of(1, FALLOC_FL_PUNCH_HOLE),
        # As the sender does while frames move, and when they no longer do.
        "fcntl": tuple(
            (Argument(1, F_SETPIPE_SZ), Argument(2, size)) for size in (64 << 10, 1 << 20)
        ),
    },
)

DEVICE: Calls = joined(COMMON, plain("fallocate"))
"""Of a device process that draws in 2D: no threads, and files are opened only for reading."""

GRAPHICS_TYPES = {
    "direct rendering": ord("d"),
    "DMA buffers": ord("b"),
    "fences": ord(">"),
    "memory as DMA buffers": ord("u"),
    "AMD's compute": ord("K"),
    "Arm's Mali": 0x80,
    "NVIDIA's control": ord("F"),
    "NVIDIA's displays": ord("m"),
    "NVIDIA's memory": 0x00,
}
"""The second byte of an ioctl, its type."""

GRAPHICS: Calls = joined(
    DEVICE,
    THREADS,
    # The first ones are for libraries' own files and threads, the others for memory.
    plain(
        "statfs fstatfs fadvise64 eventfd2 timerfd_create timerfd_settime timerfd_gettime getpeername"
        " sched_get_priority_min sched_get_priority_max mincore msync"
    ),
    {
        "open": ((without(1, EXISTING),),),
        "openat": ((without(2, EXISTING),),),
        "ioctl": tuple((Argument(1, kind << 8, 0xFF00),) for kind in GRAPHICS_TYPES.values()),
        # Whether two descriptors are one file.
        "kcmp": ((Argument(0, OWN_PROCESS), Argument(1, OWN_PROCESS), Argument(2, KCMP_FILE)),),
        # Only the calling thread: another thread's number looks like another process's.
        "sched_setaffinity": one_of(0, 0, OWN_PROCESS),
        "sched_getscheduler": one_of(0, 0, OWN_PROCESS),
        "sched_getparam": one_of(0, 0, OWN_PROCESS),
        "sched_getattr": one_of(0, 0, OWN_PROCESS),
        "sched_setscheduler": one_of(0, 0),
        "sched_setparam": one_of(0, 0),
        # Its own address space has a limit, which moves with guest memory.
        "prlimit64": ((Argument(0, 0), Argument(1, RLIMIT_AS)),),
        "getpriority": ((Argument(0, PRIO_PROCESS), Argument(1, 0)),),
        "setpriority": ((Argument(0, PRIO_PROCESS), Argument(1, 0)),),
    },
)

WAYLAND: Calls = joined(
    GRAPHICS,
    # By the path of a socket, which no list can check.
    plain("connect epoll_create1"),
    {"socket": ((Argument(0, AF_UNIX), Argument(1, SOCK_STREAM, MAX_U64 & ~SOCK_FLAGS)),)},
)
"""Of a device process whose guest speaks to a compositor of the host: each context has its own
connection.
"""

VIEW: Calls = joined(
    # For what is open already, and for what the session sends; nothing is opened, not even for
    # reading.
    plain(
        "read readv write writev close dup fstat poll ppoll select pselect6 sendmsg recvmsg recvfrom shutdown"
        " getsockopt getsockname getpeername lseek"
    ),
    {
        "fcntl": one_of(
            1, F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS
        ),
        "ioctl": one_of(1, FIONBIO, FIONREAD),
        "sendto": one_of(4, 0),
        "setsockopt": ((Argument(1, IPPROTO_TCP), Argument(2, TCP_NODELAY)),),
        # glibc's fstat().
        "newfstatat": one_of(3, AT_EMPTY_PATH),
    },
    plain("brk munmap mprotect mremap madvise"),
    {"mmap": ((without(3, MAP_HUGETLB),),)},
    # The process itself, and its time.
    plain(
        "futex sched_yield gettid getpid getuid geteuid getgid getegid exit exit_group rt_sigaction rt_sigprocmask rt_sigreturn"
        " sigaltstack restart_syscall clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time getrandom uname"
        " getcpu"
    ),
    {
        "tgkill": ((Argument(0, OWN_PROCESS), Argument(2, SIGABRT)),),
        "prlimit64": ((Argument(0, 0), Argument(2, 0)),),
    },
)
"""Of a view process: no threads, no files."""

NOT_SEALED: Calls = {"fcntl": one_of(1, F_ADD_SEALS)}
"""Calls of a render server that do nothing and return success.  Whoever takes its memory seals it,
perhaps after extending it, and drivers do not use memory that they cannot seal.
"""

VULKAN: Calls = joined(
    GRAPHICS | {"fcntl": tuple(one for one in GRAPHICS["fcntl"] if one not in NOT_SEALED["fcntl"])},
    # The first ones are what every program starts with, the others are for workers that have ended.
    plain("execve arch_prctl set_tid_address pselect6 signalfd4 waitid flock"),
    {
        "clone": one_of(0, *FORKS),
        # Between the server and a worker, and between a worker and the device process.
        "socketpair": SESSION["socketpair"],
    },
)
"""Of the render server and its workers, one for each context, which execute what a guest wants of Vulkan.

It is in force before the server is executed, and Landlock lets nothing else be executed.  No signal
can be sent: a worker that does not hang ends when the server hangs up.
"""

SIGKILL = 9
SIGN = 1 << 31

VULKAN_SCOPED: Calls = joined(
    VULKAN,
    # To one process, not to all or a group.
    {"kill": ((without(0, SIGN), Argument(1, SIGKILL)),)},
)
"""The same where Landlock confines signals to processes confined together: there the server kills
the workers of contexts that have gone.
"""
