/* The network of a guest that has no interface: see network.c. */
struct network {
    int steered;      /* listening TCP socket: every connection to an address that is not this machine's */
    int resolver_udp; /* bound to RESOLVER_ADDRESS:53 */
    int resolver_tcp; /* the same, listening */
};

/* Returns NULL, or what could not be done; errno says why. */
const char *network_up(struct network *network);
