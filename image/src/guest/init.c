/*
 * PID 1 of the guest: brings a freshly booted kernel to "the guest runner is running", watches it, and
 * switches the machine off when it ends.
 *
 * It is C, static and without a shell because every process start under emulation costs 25 ms or more and
 * every dynamic library costs a page-in: this program has done its part within some tens of milliseconds.
 *
 * Promises to the host (port "onejob.init", JSON lines, guest to host only):
 *   kernel -> mounted -> runner_started -> [oom_kill]* -> runner_exited, or `failed` at any point.
 *   It never waits for the host: what the port does not take at once is kept (bounded) and sent later.
 * Promises to the guest runner: descriptor 3 is a stream socket that takes one command a line and answers
 *   `ok` or `error TEXT`: entropy HEX | clock UNIX_MS | hostname NAME | machine-id HEX32. 4 is where steered
 *   connections arrive, 5 and 6 are the resolver's UDP and TCP sockets (network.c). In
 *   /dev/onejob-pipes there are OUTPUT_PIPES named pipes, for the output of steps.
 *
 * The runner inherits oom_score_adj -900 from here; it must reset it to 0 in the job's processes.
 * Nothing is synced at the end: every disk of this machine is thrown away with it.
 */
#define _GNU_SOURCE
#include "network.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEVICE_WAIT_MS 5000       /* devices are there 1-20 ms after their module; emulation on a busy host is slower */
#define OOM_WATCH_MS 500          /* one read of /proc/vmstat: 1 ms under emulation, so 0.2 % of a core */
#define RETRY_SEND_MS 20          /* while the host does not take our events */
#define LAST_SEND_MS 300          /* the last event may wait this long for the host */
#define OUTPUT_TAIL (16 * 1024)   /* of the runner's own stdout and stderr: a stack trace, not a log */
#define FINAL_RESERVE (OUTPUT_TAIL * 6 + 512) /* the tail with every byte escaped, and the event around it */
#define PENDING_MAX (FINAL_RESERVE + 64 * 1024)
#define COMMAND_MAX 1024          /* the longest command is `entropy` with 256 bytes as hex */
#define READ_AHEAD_KB "512"       /* Node is read in 250 requests instead of 620 with the kernel's 128, for 20 % more bytes */
#define OUTPUT_PIPES 16           /* more than most jobs have steps; a process that makes them costs 0.1 s under emulation */
#define OPEN_FILES 65536          /* the kernel's 4096 is less than what builds expect of a CI machine */

static char pending[PENDING_MAX];
static size_t pending_length;
static int event_port = -1, sysrq = -1, vmstat = -1;
static char output[OUTPUT_TAIL];
static size_t output_total;
static long oom_kills;

static long long uptime_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void pause_ms(int ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static ssize_t read_file(const char *path, char *buffer, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n = read(fd, buffer, size - 1);
    close(fd);
    if (n < 0) return -1;
    while (n > 0 && buffer[n - 1] == '\n') n--;
    buffer[n] = 0;
    return n;
}

static int write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return -1;
    size_t length = strlen(text);
    int bad = write(fd, text, length) != (ssize_t)length;
    close(fd);
    return bad ? -1 : 0;
}

/* Finds the virtio-serial port with this name and opens it; a port opens once, so only ever our own. */
static int open_port(const char *wanted) {
    char path[300], name[64];
    int fd = -1;
    DIR *ports = opendir("/sys/class/virtio-ports");
    for (struct dirent *e; ports && (e = readdir(ports));) {
        snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
        if (e->d_name[0] == '.' || read_file(path, name, sizeof name) < 0 || strcmp(name, wanted)) continue;
        snprintf(path, sizeof path, "/dev/%s", e->d_name);
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    if (ports) closedir(ports);
    return fd;
}

static void send_pending(void) {
    if (event_port < 0) event_port = open_port("onejob.init");
    while (event_port >= 0 && pending_length > 0) {
        ssize_t n = write(event_port, pending, pending_length);
        if (n <= 0) return;
        pending_length -= n;
        memmove(pending, pending + n, pending_length);
    }
}

/* Appends one line; a line that does not fit into `limit` is dropped whole. */
static void report_within(size_t limit, const char *format, va_list arguments) {
    size_t room = limit - (pending_length < limit ? pending_length : limit);
    int n = vsnprintf(pending + pending_length, room, format, arguments);
    if (n >= 0 && (size_t)n + 1 < room) {
        pending_length += n;
        pending[pending_length++] = '\n';
    }
    send_pending();
}

static void report(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    report_within(PENDING_MAX - FINAL_RESERVE, format, arguments);
    va_end(arguments);
}

/* The last event of this machine: gives the host a moment to take it, then switches off without a sync. */
static _Noreturn void report_and_stop(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    report_within(PENDING_MAX, format, arguments);
    va_end(arguments);
    for (long long end = uptime_ms() + LAST_SEND_MS; pending_length && uptime_ms() < end; send_pending()) pause_ms(2);
    pause_ms(5); /* an accelerator may take the queue in another thread than the one that sees the reset */
    if (sysrq >= 0 && write(sysrq, "b", 1) < 0) sysrq = -1;
    reboot(RB_AUTOBOOT);
    for (;;) pause();
}

static void escape_json(char *to, const char *from, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = from[i];
        if (c == '"' || c == '\\') *to++ = '\\', *to++ = c;
        else if (c < 0x20 || c == 0x7f) to += sprintf(to, "\\u%04x", c);
        else *to++ = c;
    }
    *to = 0;
}

static _Noreturn void fail(const char *format, ...) {
    char message[512], escaped[sizeof message * 6];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    escape_json(escaped, message, strlen(message));
    report_and_stop("{\"event\":\"failed\",\"message\":\"%s\",\"uptimeMs\":%lld}", escaped, uptime_ms());
}

static void mount_or_fail(const char *source, const char *target, const char *type, unsigned long flags,
                          const char *options) {
    if (mkdir(target, 0755) < 0 && errno != EEXIST) fail("cannot create %s: %s", target, strerror(errno));
    if (mount(source, target, type, flags, options) < 0)
        fail("cannot mount %s on %s: %s", source, target, strerror(errno));
}

/* The list names one file a line, dependencies first. */
static void load_modules(const char *list) {
    char order[4096], path[300];
    if (read_file(list, order, sizeof order) < 0) fail("no %s in the initramfs", list);
    for (char *save, *name = strtok_r(order, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
        snprintf(path, sizeof path, "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
            fail("cannot load %s: %s", name, strerror(errno));
        close(fd);
    }
}

/* Finds the virtio disk with this serial; `device` gets its path. */
static void wait_for_disk(const char *wanted, char *device, size_t size) {
    char path[300], serial[64];
    for (long long end = uptime_ms() + DEVICE_WAIT_MS; uptime_ms() < end; pause_ms(2)) {
        DIR *disks = opendir("/sys/block");
        for (struct dirent *e; disks && (e = readdir(disks));) {
            snprintf(path, sizeof path, "/sys/block/%s/serial", e->d_name);
            if (strncmp(e->d_name, "vd", 2) || read_file(path, serial, sizeof serial) < 0 || strcmp(serial, wanted))
                continue;
            snprintf(device, size, "/dev/%s", e->d_name);
            closedir(disks);
            return;
        }
        if (disks) closedir(disks);
    }
    fail("no virtio disk with serial %s after %d ms", wanted, DEVICE_WAIT_MS);
}

/* A kernel without this setting is a slower one. */
static void set_read_ahead(const char *device) {
    char path[400];
    snprintf(path, sizeof path, "/sys/block/%s/queue/read_ahead_kb", device + strlen("/dev/"));
    write_file(path, READ_AHEAD_KB);
}

static void mount_everything(void) {
    char device[300];
    wait_for_disk("root", device, sizeof device);
    set_read_ahead(device);
    mount_or_fail(device, "/lower", "erofs", MS_RDONLY, NULL);
    mount_or_fail("tmpfs", "/upper", "tmpfs", 0, "size=50%,mode=0755");
    mkdir("/upper/data", 0755);
    mkdir("/upper/work", 0755);
    mount_or_fail("overlay", "/new", "overlay", 0, "lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work");
    wait_for_disk("work", device, sizeof device);
    /* noinit_itable: zeroing the inode tables of a sparse file in the background would only make it grow. */
    mount_or_fail(device, "/new/work", "ext4", MS_NOATIME, "data=writeback,nobarrier,noinit_itable");
    static const struct { const char *from, *to; mode_t mode; } bulky[] = {
        {"/new/work/.system/tmp", "/new/tmp", 01777}, {"/new/work/.system/var-tmp", "/new/var/tmp", 01777},
        {"/new/work/.system/root", "/new/root", 0700}, {"/new/work/.system/home", "/new/home", 0755},
        {"/new/work/.system/docker", "/new/var/lib/docker", 0710}}; /* its layers cannot lie on the root's overlay */
    mkdir("/new/work/.system", 0755);
    mkdir("/new/var", 0755); /* an imported root may have neither */
    mkdir("/new/var/lib", 0755);
    for (size_t i = 0; i < sizeof bulky / sizeof *bulky; i++) {
        mkdir(bulky[i].from, bulky[i].mode);
        chmod(bulky[i].from, bulky[i].mode);
        mount_or_fail(bulky[i].from, bulky[i].to, NULL, MS_BIND, NULL);
    }
    mount_or_fail("/proc", "/new/proc", NULL, MS_MOVE, NULL);
    mount_or_fail("/sys", "/new/sys", NULL, MS_MOVE, NULL);
    mount_or_fail("/dev", "/new/dev", NULL, MS_MOVE, NULL);
    if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        fail("cannot change to the root disk: %s", strerror(errno));
    mount_or_fail("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
    mount_or_fail("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    /* For groups that the job makes: container engines limit nothing where they do not find these. */
    write_file("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset +cpu +io +memory +pids");
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST) fail("cannot create %s", links[i][1]);
}

/* Gives every named port its /dev/virtio-ports link, and waits until those of the runner exist. */
static void link_ports(int wait_for_runner_ports) {
    char path[300], name[64], link[300];
    mkdir("/dev/virtio-ports", 0755);
    for (long long end = uptime_ms() + DEVICE_WAIT_MS;; pause_ms(2)) {
        DIR *ports = opendir("/sys/class/virtio-ports");
        for (struct dirent *e; ports && (e = readdir(ports));) {
            snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
            if (e->d_name[0] == '.' || read_file(path, name, sizeof name) <= 0 || strchr(name, '/')) continue;
            snprintf(link, sizeof link, "/dev/virtio-ports/%s", name);
            snprintf(path, sizeof path, "../%s", e->d_name);
            if (symlink(path, link) < 0 && errno != EEXIST) fail("cannot create %s: %s", link, strerror(errno));
        }
        if (ports) closedir(ports);
        if (!wait_for_runner_ports ||
            (!access("/dev/virtio-ports/onejob.control", F_OK) && !access("/dev/virtio-ports/onejob.bulk", F_OK)))
            return;
        if (uptime_ms() > end) fail("no ports onejob.control and onejob.bulk after %d ms", DEVICE_WAIT_MS);
    }
}

static void make_output_pipes(void) {
    char path[64];
    mkdir("/dev/onejob-pipes", 0700);
    for (int i = 0; i < OUTPUT_PIPES; i++) {
        snprintf(path, sizeof path, "/dev/onejob-pipes/output-%d", i);
        if (mkfifo(path, 0600) < 0) fail("cannot create %s: %s", path, strerror(errno));
    }
}

static const char *add_entropy(const char *hex) {
    struct { int entropy_count, buf_size; unsigned char buf[256]; } pool;
    size_t digits = strlen(hex);
    if (!digits || digits % 2 || digits / 2 > sizeof pool.buf || strspn(hex, "0123456789abcdefABCDEF") != digits)
        return "entropy takes 1 to 256 bytes as hex";
    for (size_t i = 0; i < digits / 2; i++) sscanf(hex + 2 * i, "%2hhx", &pool.buf[i]);
    pool.buf_size = digits / 2;
    pool.entropy_count = pool.buf_size * 8;
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    int bad = fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0;
    if (fd >= 0) close(fd);
    return bad ? strerror(errno) : NULL;
}

static const char *set_clock(const char *text) {
    char *end;
    long long ms = strtoll(text, &end, 10);
    if (*end || !isdigit(*text) || ms < 1577836800000LL || ms > 4102444800000LL)
        return "clock takes Unix milliseconds between 2020 and 2100";
    struct timespec now = {ms / 1000, ms % 1000 * 1000000L};
    return clock_settime(CLOCK_REALTIME, &now) < 0 ? strerror(errno) : NULL;
}

static const char *set_hostname(const char *name) {
    char hosts[256], line[80];
    size_t length = strlen(name);
    if (!length || length > 63 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length || *name == '-')
        return "hostname takes 1 to 63 of a-z, 0-9 and -";
    snprintf(hosts, sizeof hosts, "127.0.0.1 localhost onejob.localhost %s\n::1 localhost onejob.localhost\n", name);
    snprintf(line, sizeof line, "%s\n", name);
    if (sethostname(name, length) < 0 || write_file("/etc/hosts", hosts) < 0 || write_file("/etc/hostname", line) < 0)
        return strerror(errno);
    return NULL;
}

static const char *set_machine_id(const char *id) {
    char line[40];
    if (strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32) return "machine-id takes 32 lower-case hex digits";
    snprintf(line, sizeof line, "%s\n", id);
    return write_file("/etc/machine-id", line) < 0 ? strerror(errno) : NULL;
}

static void answer(int fd, char *line) {
    static const struct { const char *verb; const char *(*run)(const char *); } verbs[] = {
        {"entropy", add_entropy}, {"clock", set_clock}, {"hostname", set_hostname}, {"machine-id", set_machine_id}};
    const char *problem = "unknown command";
    char *argument = strchr(line, ' '), reply[256];
    if (argument) *argument++ = 0;
    for (size_t i = 0; argument && i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(line, verbs[i].verb)) problem = verbs[i].run(argument);
    int n = snprintf(reply, sizeof reply, problem ? "error %s\n" : "ok\n", problem);
    send(fd, reply, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Takes what the runner sent; false at its end. A line that is too long is answered once and skipped whole. */
static int serve_commands(int fd) {
    static char line[COMMAND_MAX];
    static size_t length;
    static int skipping;
    char received[512];
    ssize_t n = recv(fd, received, sizeof received, MSG_DONTWAIT);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    for (ssize_t i = 0; i < n; i++) {
        if (received[i] != '\n') {
            if (length < sizeof line - 1) line[length++] = received[i];
            else skipping = 1;
            continue;
        }
        line[length] = 0;
        if (skipping) send(fd, "error line too long\n", 20, MSG_DONTWAIT | MSG_NOSIGNAL);
        else answer(fd, line);
        length = skipping = 0;
    }
    return 1;
}

/* Keeps the newest OUTPUT_TAIL bytes as a ring; false at the end of the pipe. */
static int keep_output(int fd) {
    char received[4096];
    ssize_t n = read(fd, received, sizeof received);
    for (ssize_t i = 0; i < n; i++) output[output_total++ % OUTPUT_TAIL] = received[i];
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void watch_oom_kills(void) {
    static char text[16 * 1024];
    ssize_t n = pread(vmstat, text, sizeof text - 1, 0);
    if (n <= 0) return;
    text[n] = 0;
    char *found = strstr(text, "\noom_kill ");
    long count = found ? atol(found + 10) : 0;
    if (count > oom_kills) report("{\"event\":\"oom_kill\",\"count\":%ld}", oom_kills = count);
}

static _Noreturn void report_exit(int status, int output_fd) {
    static char tail[OUTPUT_TAIL], escaped[OUTPUT_TAIL * 6 + 1];
    char code[16] = "null", signal_number[16] = "null";
    /* A pipe holds 64 KiB; whoever still writes after that is not the runner. */
    for (int i = 0; i < 16 && output_fd >= 0 && keep_output(output_fd); i++) {}
    size_t length = output_total < OUTPUT_TAIL ? output_total : OUTPUT_TAIL;
    for (size_t i = 0; i < length; i++) tail[i] = output[(output_total - length + i) % OUTPUT_TAIL];
    escape_json(escaped, tail, length);
    watch_oom_kills();
    if (WIFEXITED(status)) snprintf(code, sizeof code, "%d", WEXITSTATUS(status));
    else snprintf(signal_number, sizeof signal_number, "%d", WTERMSIG(status));
    report_and_stop("{\"event\":\"runner_exited\",\"status\":%s,\"signal\":%s,\"oomKills\":%ld,\"uptimeMs\":%lld,"
                    "\"output\":\"%s\"}", code, signal_number, oom_kills, uptime_ms(), escaped);
}

/* What the runner finds at the descriptors from 3 on. */
#define GIVEN 4

static pid_t start_runner(int bare, const int given[GIVEN], int output_fd) {
    static char *const runner[] = {"/usr/local/bin/node", "/opt/onejob/start-runner.cjs", NULL};
    static char *const bare_node[] = {"/usr/local/bin/node", "-e", "require(\"http2\")", NULL};
    static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                        "HOME=/root", "LANG=C.UTF-8", "ONEJOB_CARRIER=virtio", NULL};
    pid_t child = fork();
    if (child < 0) fail("cannot fork: %s", strerror(errno));
    if (child > 0) return child;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    dup2(output_fd, 1);
    dup2(output_fd, 2);
    int above[GIVEN]; /* none of them may lie where another goes */
    for (int i = 0; i < GIVEN; i++) above[i] = fcntl(given[i], F_DUPFD_CLOEXEC, 3 + GIVEN);
    for (int i = 0; i < GIVEN; i++) dup2(above[i], 3 + i);
    execve(runner[0], bare ? bare_node : runner, environment);
    dprintf(2, "cannot execute %s: %s\n", runner[0], strerror(errno));
    _exit(127);
}

static _Noreturn void supervise(pid_t runner, int command_fd, int output_fd, int signals) {
    long long watched = uptime_ms();
    for (;;) {
        struct pollfd fds[] = {{signals, POLLIN, 0}, {command_fd, POLLIN, 0}, {output_fd, POLLIN, 0}};
        poll(fds, 3, pending_length ? RETRY_SEND_MS : OOM_WATCH_MS);
        if (pending_length) send_pending();
        if (fds[1].revents && !serve_commands(command_fd)) command_fd = -1;
        if (fds[2].revents && !keep_output(output_fd)) output_fd = -1;
        if (uptime_ms() - watched >= OOM_WATCH_MS) {
            watch_oom_kills();
            watched = uptime_ms();
        }
        struct signalfd_siginfo ignored;
        if (!fds[0].revents || read(signals, &ignored, sizeof ignored) < 0) continue;
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == runner) report_exit(status, output_fd);
    }
}

int main(int argc, char **argv) {
    /* The last argument: the kernel also hands over words of its command line that it does not know. */
    int bare = !strcmp(argv[argc - 1], "bare"), commands[2], output_pipe[2], fd;
    enum network_card card = NO_CARD;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "nat4")) card = CARD_WITH_IPV4;
        if (!strcmp(argv[i], "nat6")) card = CARD_WITH_IPV6;
    }
    long long started = uptime_ms();
    mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
    /* Without a console 0 to 2 are closed, and the next files opened would become standard streams. */
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2) {}
    close(fd);
    mount_or_fail("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_fail("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    sysrq = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
    report("{\"event\":\"kernel\",\"uptimeMs\":%lld}", started);
    load_modules("/modules/order");
    if (card) load_modules("/modules/order-network");
    mount_everything();
    struct network network;
    const char *problem = network_up(&network, card);
    if (problem) fail("%s: %s", problem, strerror(errno));
    sethostname("onejob", strlen("onejob"));
    report("{\"event\":\"mounted\",\"uptimeMs\":%lld}", uptime_ms());
    link_ports(!bare);
    if (!bare) make_output_pipes();

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, commands) < 0 ||
        pipe2(output_pipe, O_CLOEXEC) < 0)
        fail("cannot make the runner's descriptors: %s", strerror(errno));
    fcntl(output_pipe[0], F_SETFL, O_NONBLOCK);
    write_file("/proc/self/oom_score_adj", "-900");
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){OPEN_FILES, OPEN_FILES});
    const int given[GIVEN] = {commands[1], network.steered, network.resolver_udp, network.resolver_tcp};
    pid_t runner = start_runner(bare, given, output_pipe[1]);
    close(commands[1]);
    close(output_pipe[1]);
    report("{\"event\":\"runner_started\",\"uptimeMs\":%lld}", uptime_ms());
    supervise(runner, commands[0], output_pipe[0], signals);
}
