/* The network of a guest: see network.c, and network-card.c for machines that have an interface. */
enum network_card { NO_CARD, CARD_WITH_IPV4, CARD_WITH_IPV6 };

struct network {
    int steered;      /* listening TCP socket: every connection to an address that is not this machine's */
    int resolver_udp; /* bound to RESOLVER_ADDRESS:53 */
    int resolver_tcp; /* the same, listening */
};

/* Returns NULL, or what could not be done; errno says why. */
const char *network_up(struct network *network, enum network_card card);
const char *network_card_up(int with_ipv6);
