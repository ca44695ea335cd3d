/*
 * Attack of `onejob prove`: writes nonsense to every register that the machine has for its kernel, to make
 * the monitor behind them do what it should not. Ports by iopl(2), registers in memory by /dev/mem (see
 * /proc/iomem): both take root in the guest, and nothing of its kernel. Says how many writes it made
 * before each part, since a part may be its last.
 *
 * The nonsense is the same in every run: xorshift from a fixed seed.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PORTS = 0x1000, PORT_ROUNDS = 16, PAGE = 4096, MOST_PAGES = 64, PAGE_ROUNDS = 64 };

/* A microvm's own, of which its kernel lists none: power and events, the two interrupt controllers. */
static const off_t UNLISTED[] = {0xfec00000, 0xfec10000, 0xfea00000};

static uint64_t state = 0x6f6e656a6f62;
static unsigned long writes;

/* Every other one is small, as numbers of queues, pages and commands are. */
static uint32_t nonsense(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (state & 1) != 0 ? state >> 8 : (state >> 8) & 0xff;
}

/* What was said is on its way to the host before the part that may be the last. */
static void tell(const char *part) {
  printf("onejob-prove wrote %lu\nnext: %s\n", writes, part);
  fflush(stdout);
  sleep(2);
}

static void write_ports(void) {
  tell("ports");
  if (iopl(3) != 0) return;
  for (unsigned round = 0; round < PORT_ROUNDS; round += 1) {
    for (unsigned port = 0; port < PORTS; port += 1) {
      outb(nonsense(), port);
      outw(nonsense(), port);
      outl(nonsense(), port);
      writes += 3;
    }
  }
}

static void write_page(int memory, off_t place) {
  volatile uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, place);
  if (page == MAP_FAILED) return;
  for (unsigned round = 0; round < PAGE_ROUNDS; round += 1) {
    for (unsigned at = 0; at < PAGE; at += 4) {
      *(volatile uint32_t *)(page + at) = nonsense();
      page[at + nonsense() % 4] = nonsense();
      *(volatile uint16_t *)(page + at) = nonsense();
      writes += 3;
    }
  }
  munmap((void *)page, PAGE);
}

static int is_memory(const char *line) {
  static const char *const kinds[] = {"RAM", "ROM", "Kernel", "Reserved", "ACPI"};
  for (unsigned at = 0; at < sizeof kinds / sizeof *kinds; at += 1) {
    if (strstr(line, kinds[at]) != NULL) return 1;
  }
  return 0;
}

int main(void) {
  char line[256];
  write_ports();
  int memory = open("/dev/mem", O_RDWR | O_SYNC);
  FILE *map = fopen("/proc/iomem", "r");
  while (memory >= 0 && map != NULL && fgets(line, sizeof line, map) != NULL) {
    unsigned long from, to;
    if (is_memory(line) || sscanf(line, " %lx-%lx", &from, &to) != 2 || to <= from) continue;
    line[strcspn(line, "\n")] = 0;
    tell(line);
    unsigned long end = to < from + MOST_PAGES * PAGE ? to : from + MOST_PAGES * PAGE;
    for (unsigned long at = from & ~(PAGE - 1UL); at <= end; at += PAGE) write_page(memory, at);
  }
  for (unsigned place = 0; memory >= 0 && place < sizeof UNLISTED / sizeof *UNLISTED; place += 1) {
    tell("what no list has");
    write_page(memory, UNLISTED[place]);
  }
  tell("nothing");
  return 0;
}
