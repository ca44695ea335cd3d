/*
 * The one network card of a machine that has one, as protocol/src/guest.ts has it (MACHINE.network): the same
 * address in every machine, behind a gateway that is the host's and has the resolver. Without IPv6 that is off,
 * so that nothing waits for it. Without a tool of the image: some ioctls, done before anything else runs.
 *
 * Source of the formats: netdevice(7), rtnetlink's older brother in linux/route.h, and linux/ipv6.h.
 */
#define _GNU_SOURCE
#include "network.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CARD "eth0"
#define CARD_ADDRESS "172.31.0.2"
#define CARD_MASK "255.255.255.252"
#define GATEWAY "172.31.0.1"
#define CARD_ADDRESS6 "fd6f:6e65:6a6f::2"
#define CARD_PREFIX6 64
#define GATEWAY6 "fd6f:6e65:6a6f::1"
#define CARD_WAIT_MS 5000 /* it is there 1-20 ms after its module; emulation on a busy host is slower */
#define CARD_POLL_MS 2

static int write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return -1;
    int result = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
    close(fd);
    return result;
}

static int wait_for_card(int fd, struct ifreq *card) {
    for (int waited = 0; ioctl(fd, SIOCGIFINDEX, card) < 0; waited += CARD_POLL_MS) {
        if (waited >= CARD_WAIT_MS) return -1;
        nanosleep(&(struct timespec){0, CARD_POLL_MS * 1000000L}, NULL);
    }
    return card->ifr_ifindex;
}

static void set_address(struct sockaddr *to, const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text)};
    memcpy(to, &address, sizeof address);
}

static int card_up(int fd, struct ifreq *card) {
    set_address(&card->ifr_addr, CARD_ADDRESS);
    if (ioctl(fd, SIOCSIFADDR, card) < 0) return -1;
    set_address(&card->ifr_netmask, CARD_MASK);
    if (ioctl(fd, SIOCSIFNETMASK, card) < 0) return -1;
    card->ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, card);
}

static int default_route(int fd) {
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    set_address(&route.rt_dst, "0.0.0.0");
    set_address(&route.rt_genmask, "0.0.0.0");
    set_address(&route.rt_gateway, GATEWAY);
    return ioctl(fd, SIOCADDRT, &route);
}

static int ipv6_up(int index) {
    struct in6_ifreq own = {.ifr6_prefixlen = CARD_PREFIX6, .ifr6_ifindex = index};
    struct in6_rtmsg route = {.rtmsg_flags = RTF_UP | RTF_GATEWAY, .rtmsg_metric = 1, .rtmsg_ifindex = index};
    inet_pton(AF_INET6, CARD_ADDRESS6, &own.ifr6_addr);
    inet_pton(AF_INET6, GATEWAY6, &route.rtmsg_gateway);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int result = ioctl(fd, SIOCSIFADDR, &own) < 0 || ioctl(fd, SIOCADDRT, &route) < 0 ? -1 : 0;
    close(fd);
    return result;
}

const char *network_card_up(int with_ipv6) {
    struct ifreq card = {.ifr_name = CARD};
    const char *problem = NULL;
    int index, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return "cannot open a socket";
    if ((index = wait_for_card(fd, &card)) < 0) problem = "no network card " CARD;
    write_text("/proc/sys/net/ipv6/conf/" CARD "/accept_dad", "0");
    write_text("/proc/sys/net/ipv6/conf/" CARD "/accept_ra", "0");
    if (!with_ipv6) write_text("/proc/sys/net/ipv6/conf/" CARD "/disable_ipv6", "1");
    if (!problem && card_up(fd, &card) < 0) problem = "cannot bring up " CARD;
    if (!problem && default_route(fd) < 0) problem = "cannot set the default route";
    if (!problem && with_ipv6 && ipv6_up(index) < 0) problem = "cannot set up IPv6";
    if (!problem && write_text("/etc/resolv.conf", "nameserver " GATEWAY "\n") < 0) problem = "cannot write /etc/resolv.conf";
    close(fd);
    return problem;
}
