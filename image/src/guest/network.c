/*
 * The network of a guest, for nearly all without an interface: programs that know no proxy find a resolver, and whatever
 * they connect to by TCP, by a name or by an address, at any port, ends in one socket of the guest runner,
 * which asks the host's guard for the connection.
 *
 *     name -> 198.18.0.53 (resolver) -> made-up address of 198.18.0.0/15 (RFC 2544, never routed)
 *     TCP to any address -> policy rule "TCP: table 100" -> local, on lo -> BPF sk_lookup -> the one socket
 *     UDP, ICMP to any address -> no route: "Network is unreachable", at once
 *
 * The same holds for what containers of the job's own send through this machine: their packets are routed by
 * the same rules, and the resolver's address is not of 127.0.0.0/8, which would be theirs.
 *
 * The runner reads where a connection was to go from its local address. Listeners of the job's own, on
 * 127.0.0.0/8 or on all addresses, are not touched: they keep their ports and cannot take these connections.
 *
 * In a machine with an interface (network-card.c) nothing is steered: its connections leave by themselves.
 *
 * Source of the formats: rtnetlink(7), the kernel's linux/bpf.h and Documentation/bpf/prog_sk_lookup.rst.
 */
#define _GNU_SOURCE
#include "network.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESOLVER_ADDRESS "198.18.0.53" /* as in /etc/resolv.conf of the image; never made up for a name */
#define STEERED_TABLE 100
#define STEERED_PRIORITY 40000 /* after the tables of interfaces, which a job may make */
#define BACKLOG 511

struct message {
    struct nlmsghdr head;
    union { struct fib_rule_hdr rule; struct rtmsg route; struct ifaddrmsg address; } body;
    char attributes[64];
};

static void add_attribute(struct message *message, int type, const void *value, size_t size) {
    struct rtattr *attribute = (struct rtattr *)((char *)message + NLMSG_ALIGN(message->head.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(size);
    memcpy(RTA_DATA(attribute), value, size);
    message->head.nlmsg_len = NLMSG_ALIGN(message->head.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static int tell_kernel(int netlink, struct message *message) {
    struct { struct nlmsghdr head; struct nlmsgerr error; char rest[256]; } answer;
    message->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    if (send(netlink, message, message->head.nlmsg_len, 0) < 0) return -1;
    if (recv(netlink, &answer, sizeof answer, 0) < (ssize_t)(sizeof answer.head + sizeof answer.error)) return -1;
    errno = -answer.error.error;
    return answer.error.error ? -1 : 0;
}

/* Up, and with the resolver's address beside its own. */
static int loopback_up(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int result = ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
    if (result < 0) return -1;
    uint32_t resolver = inet_addr(RESOLVER_ADDRESS);
    struct message address = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof address.body.address), .nlmsg_type = RTM_NEWADDR},
        .body.address = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_scope = RT_SCOPE_HOST,
                         .ifa_index = if_nametoindex("lo")}};
    add_attribute(&address, IFA_LOCAL, &resolver, sizeof resolver);
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0) return -1;
    result = tell_kernel(netlink, &address);
    close(netlink);
    return result;
}

/* All of TCP is local, with 127.0.0.1 as its source; nothing else has a route. */
static int route_connections(void) {
    uint32_t lo = if_nametoindex("lo"), source = htonl(INADDR_LOOPBACK), priority = STEERED_PRIORITY;
    uint8_t tcp = IPPROTO_TCP;
    struct message route = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof route.body.route), .nlmsg_type = RTM_NEWROUTE},
        .body.route = {.rtm_family = AF_INET, .rtm_table = STEERED_TABLE, .rtm_protocol = RTPROT_STATIC,
                       .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL}};
    add_attribute(&route, RTA_OIF, &lo, sizeof lo);
    add_attribute(&route, RTA_PREFSRC, &source, sizeof source);
    struct message rule = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof rule.body.rule), .nlmsg_type = RTM_NEWRULE},
        .body.rule = {.family = AF_INET, .table = STEERED_TABLE, .action = FR_ACT_TO_TBL}};
    add_attribute(&rule, FRA_PRIORITY, &priority, sizeof priority);
    add_attribute(&rule, FRA_IP_PROTO, &tcp, sizeof tcp);
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0) return -1;
    int result = tell_kernel(netlink, &route) < 0 || tell_kernel(netlink, &rule) < 0 ? -1 : 0;
    close(netlink);
    return result;
}

/*
 * Transparent: it answers with the address that was asked for, which is no address of this machine. Its
 * connections hold the ports they were to; reusable, so that a server of the job's can have the same.
 */
static int listen_for_steered(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof one) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, BACKLOG) < 0)
        return -1;
    return fd;
}

static int bpf(int command, union bpf_attr *attributes) {
    return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

#define FIELD(to, name) {BPF_LDX | BPF_MEM | BPF_W, to, BPF_REG_1, offsetof(struct bpf_sk_lookup, name), 0}
#define COPY(to, from) {BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0}
#define SET(to, value) {BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value}
#define CALL(helper) {BPF_JMP | BPF_CALL, 0, 0, 0, helper}
#define SKIP_UNLESS(reg, value, count) {BPF_JMP | BPF_JNE | BPF_K, reg, 0, count, value}
#define SKIP_IF(reg, value, count) {BPF_JMP | BPF_JEQ | BPF_K, reg, 0, count, value}

/* Looked up as listener for a connection that is not to 127.0.0.0/8 or the resolver: `listener`, before any other. */
static int steer_to(int listener) {
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 8, .max_entries = 1};
    int map_fd = bpf(BPF_MAP_CREATE, &map);
    uint32_t key = 0;
    uint64_t value = listener;
    union bpf_attr entry = {.map_fd = map_fd, .key = (uintptr_t)&key, .value = (uintptr_t)&value};
    if (map_fd < 0 || bpf(BPF_MAP_UPDATE_ELEM, &entry) < 0) return -1;
    struct bpf_insn program[] = {
        FIELD(BPF_REG_2, family), SKIP_UNLESS(BPF_REG_2, AF_INET, 21),
        FIELD(BPF_REG_2, protocol), SKIP_UNLESS(BPF_REG_2, IPPROTO_TCP, 19),
        /* In network order: on these machines the first number of the address is the lowest byte. */
        FIELD(BPF_REG_2, local_ip4), SKIP_IF(BPF_REG_2, (int32_t)inet_addr(RESOLVER_ADDRESS), 17),
        {BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xff},
        SKIP_IF(BPF_REG_2, IN_LOOPBACKNET, 15),
        COPY(BPF_REG_6, BPF_REG_1),
        {BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, 0},
        {BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd}, {0, 0, 0, 0, 0},
        COPY(BPF_REG_2, BPF_REG_10), {BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4},
        CALL(BPF_FUNC_map_lookup_elem), SKIP_IF(BPF_REG_0, 0, 7),
        COPY(BPF_REG_7, BPF_REG_0), COPY(BPF_REG_1, BPF_REG_6), COPY(BPF_REG_2, BPF_REG_7), SET(BPF_REG_3, 0),
        CALL(BPF_FUNC_sk_assign), COPY(BPF_REG_1, BPF_REG_7), CALL(BPF_FUNC_sk_release),
        SET(BPF_REG_0, SK_PASS), {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_SK_LOOKUP, .expected_attach_type = BPF_SK_LOOKUP,
                           .insns = (uintptr_t)program, .insn_cnt = sizeof program / sizeof *program,
                           .license = (uintptr_t)"Apache-2.0"};
    int program_fd = bpf(BPF_PROG_LOAD, &load);
    int namespace_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    union bpf_attr link = {.link_create = {.prog_fd = program_fd, .target_fd = namespace_fd,
                                           .attach_type = BPF_SK_LOOKUP}};
    /* It lasts as long as this descriptor, which nobody closes. */
    int link_fd = program_fd < 0 || namespace_fd < 0 ? -1 : bpf(BPF_LINK_CREATE, &link);
    int problem = errno;
    if (namespace_fd >= 0) close(namespace_fd);
    if (program_fd >= 0) close(program_fd);
    close(map_fd);
    errno = problem;
    return link_fd;
}

static int open_resolver(int type) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53),
                             .sin_addr.s_addr = inet_addr(RESOLVER_ADDRESS)};
    int one = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) ||
        bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
        return -1;
    return fd;
}

const char *network_up(struct network *network, enum network_card card) {
    const char *problem = NULL;
    if (loopback_up() < 0) return "cannot bring up lo";
    if ((network->steered = listen_for_steered()) < 0) return "cannot listen for connections";
    if (card) problem = network_card_up(card == CARD_WITH_IPV6);
    else if (route_connections() < 0) problem = "cannot route connections to this machine itself";
    else if (steer_to(network->steered) < 0) problem = "cannot steer connections to the runner";
    if (problem) return problem;
    network->resolver_udp = open_resolver(SOCK_DGRAM);
    network->resolver_tcp = open_resolver(SOCK_STREAM);
    if (network->resolver_udp < 0 || network->resolver_tcp < 0) return "cannot open the resolver's sockets";
    return NULL;
}
