import { noBpfRules } from "./seccomp-no-bpf.ts";

/**
 * The system calls that dynos may make: what container engines allow by default to a process without capabilities, and less
 * where docs/decisions/0017-walls.md says so. Made for the machine's own architecture only, which halves the time a start takes (facts 1); calls of another architecture (32 bit
 * programs) end the process.
 */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly {
    readonly index: number;
    readonly value: number;
    readonly valueTwo?: number;
    readonly op: string;
  }[];
}

const EPERM = 1;
const ENOSYS = 38;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "SCMP_ARCH_X86_64", arm64: "SCMP_ARCH_AARCH64" };

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: no new namespaces inside a dyno. */
const CLONE_NAMESPACES = 0x7e020000;
/** Linux, 32 bit addresses, uname26, both, and the question which one it is. */
const PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xffffffff];
/**
 * AF_UNIX, AF_INET and AF_INET6 with TCP, UDP and MPTCP (which Go asks for), AF_NETLINK of routes (which `getaddrinfo` needs). Any other family
 * or protocol has the kernel load what nobody uses, with its holes: AF_ALG let anybody write into the page cache, which all dynos share
 * (CVE-2026-31431); generic netlink loads TIPC for whoever names it. And netlink tells of the host's devices (`NETLINK_KOBJECT_UEVENT`).
 */
const SOCKETS: readonly (readonly [family: number, protocols: readonly number[] | "any"])[] = [
  [1, "any"],
  [2, [0, 6, 17, 262]],
  [10, [0, 6, 17, 262]],
  [16, [0]],
];

/** The profile for an architecture by Node's name (`process.arch`). */
export function seccompProfile(arch: string): SeccompProfile {
  const native = ARCHITECTURES[arch];
  if (native === undefined)
    throw new Error(`no seccomp profile for ${arch}: only ${Object.keys(ARCHITECTURES).join(", ")}`);
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ENOSYS, // what libraries take for "this kernel does not have it"
    architectures: [native],
    syscalls: [
      { names: words(ALLOWED), action: "SCMP_ACT_ALLOW" },
      { names: words(arch === "x64" ? ALLOWED_X64 : ALLOWED_ARM64), action: "SCMP_ACT_ALLOW" },
      ...PERSONALITIES.map((value) => ({
        names: ["personality"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
      })),
      {
        names: ["clone"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: CLONE_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      // Not `clone3`: its flags lie in memory, where no filter can look; libraries fall back to `clone`.
      ...ioctlRules(),
      ...noBpfRules(),
      ...SOCKETS.flatMap(([family, protocols]) => socketRules(family, protocols)),
      { names: words(FORBIDDEN), action: "SCMP_ACT_ERRNO", errnoRet: EPERM },
    ],
  };
}

/**
 * Every `ioctl` but those of btrfs (type 0x94): anybody may make a volume inside his folders, which would be outside his quota.
 * A filter cannot say "not", so: allowed is what differs from 0x94 in one bit of the type. Copies by reference are harmless.
 */
function ioctlRules(): readonly SeccompRule[] {
  const allow = (value: number, mask: number): SeccompRule => ({
    names: ["ioctl"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 1, value: mask, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" }],
  });
  const bits = [0, 1, 2, 3, 4, 5, 6, 7].map((bit) => 1 << (bit + 8));
  return [
    ...bits.map((bit) => allow(((BTRFS_TYPE << 8) & bit) ^ bit, bit)),
    ...CLONE_IOCTLS.map((value) => allow(value, 0xffffffff)),
  ];
}

function socketRules(family: number, protocols: readonly number[] | "any"): readonly SeccompRule[] {
  const equals = (index: number, value: number) => ({ index, value, op: "SCMP_CMP_EQ" });
  const allow = (args: NonNullable<SeccompRule["args"]>): SeccompRule => ({
    names: ["socket", "socketpair"],
    action: "SCMP_ACT_ALLOW",
    args,
  });
  if (protocols === "any") return [allow([equals(0, family)])];
  return protocols.map((protocol) => allow([equals(0, family), equals(2, protocol)]));
}

const BTRFS_TYPE = 0x94;
/** FICLONE, FICLONERANGE, FIDEDUPERANGE. */
const CLONE_IOCTLS = [0x40049409, 0x4020940d, 0xc0189436];

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

const ALLOWED = `
  accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown chown32 clock_adjtime clock_getres
  clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
  copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
  fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock
  fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue
  futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid
  geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
  getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list getrusage getsid getsockname getsockopt
  get_thread_area gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
  io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill
  landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listxattr
  llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret
  mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open
  mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd mseal
  msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open
  pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 pread64 preadv preadv2
  prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
  recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq
  rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
  rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
  sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
  sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
  setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list
  setsid set_thread_area set_tid_address setuid setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack
  signalfd signalfd4 sigprocmask sigreturn splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range
  syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
  timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
  truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid
  waitpid write writev`;

const ALLOWED_X64 = "arch_prctl modify_ldt";

const ALLOWED_ARM64 = "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

/** What exists, and a dyno may not do. */
const FORBIDDEN = `
  acct add_key bpf chroot clock_settime clock_settime64 delete_module fanotify_init finit_module fsconfig fsmount fsopen
  fspick get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
  kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages nfsservctl
  open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace
  query_module quotactl quotactl_fd reboot request_key set_mempolicy set_mempolicy_home_node setdomainname sethostname setns
  settimeofday stime swapoff swapon sysfs syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old`;
