/*
 * For a sandbox that shares the host's kernel, or has gVisor's: two parts of what init and network.c do in a
 * machine of its own, for programs that know no proxy.
 *
 *     steer run PORT PROGRAM [ARGUMENT...]   gVisor: TCP to made-up addresses (198.18.0.0/15, but the
 *                                            resolver) -> PORT of 127.0.0.1; then PROGRAM, without the
 *                                            capabilities that this took
 *     steer accept PORT                      takes these connections and hands each to the Node process that
 *                                            started this, with the address and port it was to
 *
 * Of a container the host makes routes and rules (agent/src/network/steering.ts), so it takes `accept` alone.
 * Node itself cannot ask for an original destination. Handing over is the protocol of Node's own child
 * processes (`stdio: ['ipc']`): a line of JSON with the descriptor, answered before the next one.
 *
 * Sources: iptables' blob as linux/netfilter_ipv4/ip_tables.h has it, rtnetlink(7), unix(7) on SCM_RIGHTS,
 * Node's lib/internal/child_process.js.
 */
#define _GNU_SOURCE
#include <net/if.h> /* before linux/if.h, which gives way to it */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESOLVER_ADDRESS "198.18.0.53" /* as in /etc/resolv.conf of the image */
#define MADE_UP "198.18.0.0"
#define MADE_UP_PREFIX 15
#define MADE_UP_MASK "255.254.0.0"
#define BACKLOG 511
#define PAUSE_US 10000
#define CHAINS 4 /* of the table `nat`; before any rule each has its policy alone */

struct accept_rule { struct ipt_entry entry; struct xt_standard_target target; };
struct redirect_rule {
    struct ipt_entry entry;
    /* A target's size is a multiple of 8. */
    struct { struct xt_entry_target head; struct nf_nat_ipv4_multi_range_compat range; } __attribute__((aligned(8))) target;
};
struct error_rule { struct ipt_entry entry; struct xt_error_target target; };

/* The chains one after the other, each with its policy as its last rule, and the end of the table. */
struct table {
    struct ipt_replace head;
    struct accept_rule prerouting, input;
    struct accept_rule resolver; /* the chain OUTPUT begins */
    struct redirect_rule steered;
    struct accept_rule output, postrouting;
    struct error_rule end;
};
#define ENTRIES 7
#define AT(member) (offsetof(struct table, member) - sizeof(struct ipt_replace))

static void accept_to(struct accept_rule *rule, const char *address) {
    rule->entry.target_offset = sizeof rule->entry;
    rule->entry.next_offset = sizeof *rule;
    rule->target.target.u.user.target_size = sizeof rule->target;
    rule->target.verdict = -NF_ACCEPT - 1;
    if (address == NULL) return;
    rule->entry.ip.dst.s_addr = inet_addr(address);
    rule->entry.ip.dmsk.s_addr = INADDR_NONE; /* all of its bits */
}

static void redirect_to(struct redirect_rule *rule, int port) {
    rule->entry.ip.proto = IPPROTO_TCP;
    rule->entry.ip.dst.s_addr = inet_addr(MADE_UP);
    rule->entry.ip.dmsk.s_addr = inet_addr(MADE_UP_MASK);
    rule->entry.target_offset = sizeof rule->entry;
    rule->entry.next_offset = sizeof *rule;
    rule->target.head.u.user.target_size = sizeof rule->target;
    strcpy(rule->target.head.u.user.name, "REDIRECT");
    struct nf_nat_ipv4_range *range = rule->target.range.range;
    rule->target.range.rangesize = 1;
    range->flags = NF_NAT_RANGE_PROTO_SPECIFIED;
    range->min.tcp.port = range->max.tcp.port = htons(port);
}

static void set_chain(struct table *table, int hook, size_t first, size_t policy) {
    table->head.valid_hooks |= 1 << hook;
    table->head.hook_entry[hook] = first;
    table->head.underflow[hook] = policy;
}

static int set_rules(int port) {
    static struct table table;
    struct xt_counters counters[CHAINS + 1];
    strcpy(table.head.name, "nat");
    table.head.num_entries = ENTRIES;
    table.head.size = sizeof table - sizeof table.head;
    table.head.num_counters = CHAINS + 1; /* of the rules there were, and the end */
    table.head.counters = counters;
    set_chain(&table, NF_INET_PRE_ROUTING, AT(prerouting), AT(prerouting));
    set_chain(&table, NF_INET_LOCAL_IN, AT(input), AT(input));
    set_chain(&table, NF_INET_LOCAL_OUT, AT(resolver), AT(output));
    set_chain(&table, NF_INET_POST_ROUTING, AT(postrouting), AT(postrouting));
    accept_to(&table.prerouting, NULL);
    accept_to(&table.input, NULL);
    accept_to(&table.resolver, RESOLVER_ADDRESS);
    redirect_to(&table.steered, port);
    accept_to(&table.output, NULL);
    accept_to(&table.postrouting, NULL);
    table.end.entry.target_offset = sizeof table.end.entry;
    table.end.entry.next_offset = sizeof table.end;
    table.end.target.target.u.user.target_size = sizeof table.end.target;
    strcpy(table.end.target.target.u.user.name, XT_ERROR_TARGET);
    strcpy(table.end.target.errorname, XT_ERROR_TARGET);
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0) return -1;
    int result = setsockopt(fd, SOL_IP, IPT_SO_SET_REPLACE, &table, sizeof table);
    close(fd);
    return result;
}

/* An address of lo makes the whole of its network local, to gVisor. */
static int add_addresses(void) {
    uint32_t local = inet_addr(MADE_UP);
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg address;
        struct { struct rtattr head; uint32_t value; } local, same;
    } message = {
        .head = {.nlmsg_len = sizeof message, .nlmsg_type = RTM_NEWADDR,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
        .address = {.ifa_family = AF_INET, .ifa_prefixlen = MADE_UP_PREFIX, .ifa_scope = RT_SCOPE_HOST,
                    .ifa_index = if_nametoindex("lo")},
        .local = {.head = {.rta_len = RTA_LENGTH(sizeof local), .rta_type = IFA_LOCAL}, .value = local},
        .same = {.head = {.rta_len = RTA_LENGTH(sizeof local), .rta_type = IFA_ADDRESS}, .value = local}};
    struct { struct nlmsghdr head; struct nlmsgerr error; char rest[256]; } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &message, sizeof message, 0) < 0 ||
        recv(fd, &answer, sizeof answer, 0) < (ssize_t)(sizeof answer.head + sizeof answer.error))
        return -1;
    close(fd);
    errno = -answer.error.error;
    return answer.error.error ? -1 : 0;
}

/* For this process and whatever it becomes or starts. */
static int give_up(void) {
    static const int gone[] = {CAP_NET_ADMIN, CAP_NET_RAW};
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, sets) < 0) return -1;
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        if (prctl(PR_CAPBSET_DROP, gone[i], 0, 0, 0) < 0) return -1;
        struct __user_cap_data_struct *set = &sets[CAP_TO_INDEX(gone[i])];
        set->effective &= ~CAP_TO_MASK(gone[i]);
        set->permitted &= ~CAP_TO_MASK(gone[i]);
        set->inheritable &= ~CAP_TO_MASK(gone[i]);
    }
    return syscall(SYS_capset, &head, sets);
}

static int run(int port, char **words) {
    /* Without, programs that know no proxy reach nothing: the resolver has no address, and the runner says so. */
    if (set_rules(port) < 0) perror("steer: cannot set the rules of connections");
    else if (add_addresses() < 0) perror("steer: cannot add addresses to lo");
    if (give_up() < 0) {
        perror("steer: cannot give capabilities up");
        return 1;
    }
    execv(words[0], words);
    perror(words[0]);
    return 1;
}

/* False: nobody takes any more. */
static int hand_over(int channel, int connection) {
    struct sockaddr_in to;
    socklen_t size = sizeof to;
    char text[256], address[INET_ADDRSTRLEN], answer[256];
    if (getsockopt(connection, SOL_IP, SO_ORIGINAL_DST, &to, &size) < 0) return 1; /* it was to us */
    inet_ntop(AF_INET, &to.sin_addr, address, sizeof address);
    int length = snprintf(text, sizeof text,
                          "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":{\"address\":\"%s\",\"port\":%d}}\n",
                          address, ntohs(to.sin_port));
    char control[CMSG_SPACE(sizeof connection)] = {0};
    struct iovec part = {text, length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof connection);
    memcpy(CMSG_DATA(rights), &connection, sizeof connection);
    if (sendmsg(channel, &message, MSG_NOSIGNAL) != length) return 0;
    for (;;) {
        ssize_t got = read(channel, answer, sizeof answer);
        if (got <= 0) return 0;
        if (answer[got - 1] == '\n') return 1;
    }
}

static int accept_all(int port) {
    static const char ready[] = "{\"ready\":true}\n";
    const char *number = getenv("NODE_CHANNEL_FD");
    int one = 1, channel = number == NULL ? -1 : atoi(number);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0 ||
        send(channel, ready, sizeof ready - 1, MSG_NOSIGNAL) < 0) {
        perror("steer: cannot listen for connections");
        return 1;
    }
    for (;;) {
        /* As Node has its sockets. */
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (connection < 0) {
            if (errno == EBADF || errno == EINVAL) return 1;
            /* It was reset already, or there is no memory or descriptor for it just now. */
            if (errno != ECONNABORTED && errno != EINTR) usleep(PAUSE_US);
            continue;
        }
        int taken = hand_over(channel, connection);
        close(connection);
        if (!taken) return 0;
    }
}

int main(int count, char **words) {
    if (count >= 4 && strcmp(words[1], "run") == 0) return run(atoi(words[2]), words + 3);
    if (count == 3 && strcmp(words[1], "accept") == 0) return accept_all(atoi(words[2]));
    fputs("usage: steer run PORT PROGRAM [ARGUMENT...], or steer accept PORT\n", stderr);
    return 2;
}
