/* A network in one process: answers every packet a TUN device is given as routers and targets would.
 *
 * Compiled by bench/emulator.py when a benchmark runs; never part of the product. Two modes:
 *
 *   router net dev=nt0 seed=1 hops_min=12 hops_max=12 hop_us=2000 ...   routers and targets behind one TUN
 *   router bridge dev=nt0 peer=nt1 hop_us=10000 ...                     two TUNs, hop_us of delay each way
 *   router paths seed=1 ...        reads "SRC DST PROTO WORD LABEL" lines (hex), prints "LENGTH ROUTER ..." lines
 *
 * Every answer is a pure function of the parameters and the packet, except loss and jitter, which come from one
 * seeded stream in order of arrival. bench/net.py holds the same functions in Python; a test compares them.
 * The device is read without blocking and the wheel is turned in between; while nothing is under way it sleeps.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { ETHERNET_BYTES = 14, SLOT_NS = 10000, SLOTS = 1 << 17, PACKET_BYTES = 1600, BATCH = 64, QUIET_NS = 2000000 };

static struct {
    uint64_t seed;
    double hops_min, hops_max, hop_us, ecmp, fan_bits, silent_routers, silent_targets, loss, jitter_us;
    double limit_per_s, limit_burst, cpu, busy, tap;
} P = {.seed = 1, .hops_min = 12, .hops_max = 12, .hop_us = 2000, .ecmp = 1, .fan_bits = 2, .limit_burst = 6, .cpu = -1, .busy = 1};
static char device[IFNAMSIZ] = "nt0", peer[IFNAMSIZ] = "nt1";

/* ---- the shape of the net: pure functions, mirrored in bench/net.py ---- */

static uint64_t mix(uint64_t a, uint64_t b) { /* splitmix64 of both words */
    uint64_t z = (a ^ (b * 0x9E3779B97F4A7C15ull)) + 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
static uint64_t draw(unsigned purpose, uint64_t what) { return mix(mix(P.seed, purpose), what); }
static int chance(unsigned purpose, uint64_t what, double p) { return (draw(purpose, what) >> 11) * 0x1p-53 < p; }

static unsigned path_length(uint64_t target) {
    unsigned span = (unsigned)(P.hops_max - P.hops_min) + 1;
    return (unsigned)P.hops_min + draw(1, target) % span;
}
static uint64_t flow_hash(uint64_t src, uint64_t dst, unsigned proto, uint32_t word, uint32_t label) {
    return mix(mix(mix(P.seed, src), dst), ((uint64_t)proto << 52) | ((uint64_t)label << 32) | word);
}
/* Routers form a tree: fan_bits more bits of the target's hash matter at each hop; diamonds at hops 2-3, 7-8, ... */
static uint32_t router_number(unsigned hop, uint64_t target, uint64_t flow) {
    unsigned bits = hop * (unsigned)P.fan_bits, branch = 0;
    if (bits > 30) bits = 30;
    uint64_t group = draw(2, target) & ((1ull << bits) - 1);
    if (P.ecmp > 1 && (hop % 5 == 2 || hop % 5 == 3)) branch = mix(flow, hop / 5) % (unsigned)P.ecmp;
    return hop << 19 | (draw(3, (uint64_t)hop << 48 | group << 8 | branch) & 0x7FFFF);
}
static int silent_router(uint32_t number) { return chance(4, number, P.silent_routers); }
static int silent_target(uint64_t target) { return chance(5, target, P.silent_targets); }

/* ---- the wheel ---- */

struct packet { struct packet *next; int fd; uint16_t length; uint8_t ethernet[ETHERNET_BYTES], bytes[PACKET_BYTES]; };
static struct packet *pool, *head[SLOTS], *tail[SLOTS];
static uint64_t turned, pending, counted[8];
enum { SEEN, ANSWERED, LIMITED, LOST, SILENT, IGNORED, UNWRITTEN };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static struct packet *fresh(void) {
    struct packet *p = pool;
    if (p) pool = p->next; else p = malloc(sizeof *p);
    if (!p) abort();
    p->next = NULL;
    return p;
}
static void release(struct packet *p) { p->next = pool; pool = p; }
static void schedule(struct packet *p, uint64_t due_ns) {
    uint64_t slot = due_ns / SLOT_NS + 1;
    if (slot <= turned) slot = turned + 1;
    if (slot >= turned + SLOTS) slot = turned + SLOTS - 1;
    struct packet **t = &tail[slot % SLOTS];
    if (*t) (*t)->next = p; else head[slot % SLOTS] = p;
    *t = p;
    pending++;
}
static int emit(struct packet *p) {
    if (!P.tap) return write(p->fd, p->bytes, p->length) == p->length;
    static const uint8_t to_us[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}; /* as bench/emulator.py sets them */
    memcpy(p->ethernet, to_us, sizeof to_us);
    p->ethernet[12] = p->bytes[0] >> 4 == 4 ? 0x08 : 0x86;
    p->ethernet[13] = p->bytes[0] >> 4 == 4 ? 0x00 : 0xdd;
    return write(p->fd, p->ethernet, ETHERNET_BYTES + p->length) == ETHERNET_BYTES + p->length;
}
static void turn(uint64_t until_ns) {
    for (uint64_t to = until_ns / SLOT_NS; turned < to;) {
        if (!pending) { turned = to; return; }
        unsigned slot = ++turned % SLOTS;
        struct packet *p = head[slot], *next;
        head[slot] = tail[slot] = NULL;
        for (; p; p = next, pending--) {
            next = p->next;
            if (emit(p)) counted[ANSWERED]++; else counted[UNWRITTEN]++;
            release(p);
        }
    }
}

/* ---- answers ---- */

static uint64_t stream = 0x1234567;
static double uniform(void) { stream = mix(stream, 7); return (stream >> 11) * 0x1p-53; }

static uint32_t sum16(const uint8_t *b, unsigned n, uint32_t sum) {
    for (; n > 1; n -= 2, b += 2) sum += b[0] << 8 | b[1];
    return n ? sum + (b[0] << 8) : sum;
}
static uint16_t folded(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
    return ~sum;
}
static void put16(uint8_t *b, unsigned v) { b[0] = v >> 8; b[1] = v; }
static uint32_t get32(const uint8_t *b) { uint32_t v; memcpy(&v, b, 4); return ntohl(v); }
static uint64_t get64(const uint8_t *b) { return (uint64_t)get32(b) << 32 | get32(b + 4); }

struct seen { /* one probe, either family */
    const uint8_t *bytes, *transport, *src, *dst;
    unsigned length, family, proto, ttl, size; /* size: bytes of one address */
    uint32_t label;
    uint64_t target, flow;
};
static int understand(struct seen *s, const uint8_t *b, unsigned n) {
    s->bytes = b; s->length = n; s->family = b[0] >> 4;
    if (s->family == 4 && n >= 28 && b[0] == 0x45) {
        s->transport = b + 20; s->src = b + 12; s->dst = b + 16; s->size = 4;
        s->proto = b[9]; s->ttl = b[8]; s->label = 0; s->target = get32(s->dst) & 0xFFFF;
        s->flow = flow_hash(get32(s->src), get32(s->dst), s->proto, get32(s->transport), 0);
    } else if (s->family == 6 && n >= 48) {
        s->transport = b + 40; s->src = b + 8; s->dst = b + 24; s->size = 16;
        s->proto = b[6]; s->ttl = b[7]; s->label = get32(b) & 0xFFFFF; s->target = get32(s->dst + 12) & 0xFFFF;
        s->flow = flow_hash(mix(get64(s->src), get64(s->src + 8)), mix(get64(s->dst), get64(s->dst + 8)), s->proto,
                            get32(s->transport), s->label);
    } else return 0;
    return s->ttl > 0;
}
static uint8_t *envelope(struct packet *p, const struct seen *s, const uint8_t *from, unsigned proto, unsigned ttl, unsigned body) {
    uint8_t *b = p->bytes;
    if (s->family == 4) {
        memset(b, 0, 20);
        b[0] = 0x45; put16(b + 2, 20 + body); b[8] = ttl; b[9] = proto;
        memcpy(b + 12, from, 4); memcpy(b + 16, s->src, 4);
        put16(b + 10, folded(sum16(b, 20, 0)));
        p->length = 20 + body;
        return b + 20;
    }
    memset(b, 0, 8);
    b[0] = 0x60; put16(b + 4, body); b[6] = proto; b[7] = ttl;
    memcpy(b + 8, from, 16); memcpy(b + 24, s->src, 16);
    p->length = 40 + body;
    return b + 40;
}
static void seal(struct packet *p, const struct seen *s, unsigned proto, uint8_t *body, unsigned n, unsigned at) {
    uint32_t sum = 0;
    if (proto != IPPROTO_ICMP) sum = sum16(p->bytes + (s->family == 4 ? 12 : 8), 2 * s->size, proto + n);
    put16(body + at, 0);
    put16(body + at, folded(sum16(body, n, sum)));
}
static void icmp_error(struct packet *p, const struct seen *s, const uint8_t *from, unsigned type, unsigned code, unsigned ttl, unsigned left) {
    unsigned room = (s->family == 4 ? 576 - 28 : 1280 - 48), quote = s->length < room ? s->length : room;
    unsigned proto = s->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    uint8_t *body = envelope(p, s, from, proto, ttl, 8 + quote), *q = body + 8;
    memset(body, 0, 8);
    body[0] = type; body[1] = code;
    memcpy(q, s->bytes, quote);
    if (s->family == 4) { /* the quote is the packet as it arrived there: TTL spent, header checksum renewed */
        q[8] = left; put16(q + 10, 0); put16(q + 10, folded(sum16(q, 20, 0)));
    } else q[7] = left;
    seal(p, s, proto, body, 8 + quote, 2);
}
static int target_answer(struct packet *p, const struct seen *s, unsigned ttl, unsigned left) {
    unsigned n = s->length - (unsigned)(s->transport - s->bytes), v4 = s->family == 4;
    unsigned echo = v4 ? 8 : 128;
    if (s->proto == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
        if (s->transport[0] != echo) return 0;
        uint8_t *body = envelope(p, s, s->dst, s->proto, ttl, n);
        memcpy(body, s->transport, n);
        body[0] = v4 ? 0 : 129;
        seal(p, s, s->proto, body, n, 2);
    } else if (s->proto == IPPROTO_UDP) {
        icmp_error(p, s, s->dst, v4 ? 3 : 1, v4 ? 3 : 4, ttl, left);
    } else if (s->proto == IPPROTO_TCP && n >= 20) {
        const uint8_t *t = s->transport;
        unsigned flags = t[13], data = n - (t[12] >> 4) * 4u, port = t[2] << 8 | t[3], syn = (flags & 0x12) == 2;
        if (flags & 4 || (!syn && !(flags & 1) && !data)) return 0; /* a reset, or a bare acknowledgement */
        uint8_t *body = envelope(p, s, s->dst, IPPROTO_TCP, ttl, 20);
        memset(body, 0, 20);
        memcpy(body, t + 2, 2); memcpy(body + 2, t, 2);
        uint32_t ack = htonl(get32(t + 4) + data + !!(flags & 3)), isn = htonl((uint32_t)mix(P.seed, get32(t + 4)));
        memcpy(body + 8, &ack, 4);
        if (syn && (port == 80 || port == 443)) { memcpy(body + 4, &isn, 4); body[13] = 0x12; put16(body + 14, 65535); }
        else { memcpy(body + 4, t + 8, 4); body[13] = 0x14; }
        body[12] = 0x50;
        seal(p, s, IPPROTO_TCP, body, 20, 16);
    } else return 0;
    return 1;
}

/* ---- limits: Linux's token bucket (net/ipv4/inetpeer.c), one for each answering router ---- */

struct bucket { float tokens; uint32_t at_ms; };
static struct bucket *buckets;

static int limited(uint32_t number, uint64_t at_ns) {
    if (P.limit_per_s <= 0) return 0;
    struct bucket *b = &buckets[number & 0xFFFFFF];
    uint32_t ms = (uint32_t)(at_ns / 1000000) | 1;
    if (!b->at_ms) b->tokens = P.limit_burst;
    else b->tokens += (float)((int32_t)(ms - b->at_ms) * P.limit_per_s / 1000);
    if (b->tokens > P.limit_burst) b->tokens = P.limit_burst;
    b->at_ms = ms;
    if (b->tokens < 1) return 1;
    b->tokens -= 1;
    return 0;
}
static void handle(int fd, const uint8_t *bytes, unsigned n, uint64_t now) {
    struct seen s;
    counted[SEEN]++;
    if (!understand(&s, bytes, n)) { counted[IGNORED]++; return; }
    if (P.loss > 0 && uniform() < P.loss) { counted[LOST]++; return; }
    unsigned length = path_length(s.target), reached = s.ttl >= length, hop = reached ? length : s.ttl;
    uint64_t rtt = (uint64_t)(hop * P.hop_us * 1000);
    struct packet *p = fresh();
    p->fd = fd;
    if (reached) {
        if (silent_target(s.target)) { counted[SILENT]++; release(p); return; }
        if (s.proto == IPPROTO_UDP && limited((uint32_t)s.target, now + rtt / 2)) { counted[LIMITED]++; release(p); return; }
        if (!target_answer(p, &s, 64 - (hop - 1), s.ttl - (length - 1))) { counted[IGNORED]++; release(p); return; }
    } else {
        uint32_t number = router_number(hop, s.target, s.flow);
        if (silent_router(number)) { counted[SILENT]++; release(p); return; }
        if (limited(number, now + rtt / 2)) { counted[LIMITED]++; release(p); return; }
        uint8_t from[16] = {0xfd, 0, 2, 2, [13] = number >> 16, [14] = number >> 8, [15] = number};
        if (s.family == 4) { from[0] = 11; from[1] = number >> 16; from[2] = number >> 8; from[3] = number; }
        icmp_error(p, &s, from, s.family == 4 ? 11 : 3, 0, 255 - (hop - 1), 1);
    }
    if (P.jitter_us > 0) rtt += (uint64_t)(uniform() * P.jitter_us * 1000);
    schedule(p, now + rtt);
}

/* ---- the loop ---- */

static volatile sig_atomic_t stopping;
static void stop(int signal) { (void)signal; stopping = 1; }

static int open_tun(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    struct ifreq r = {.ifr_flags = (P.tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI};
    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0) { perror("router: TUN device"); exit(1); }
    return fd;
}
static int arp(int fd, uint8_t *frame, ssize_t got) { /* the gateway answers for every address */
    static const uint8_t gateway[6] = {2, 0, 0, 0, 0, 2};
    if (!P.tap || got < 42 || frame[12] != 8 || frame[13] != 6 || frame[21] != 1) return 0;
    uint8_t asked[4];
    memcpy(asked, frame + 38, 4);
    memcpy(frame, frame + 6, 6); memcpy(frame + 6, gateway, 6); frame[21] = 2;
    memcpy(frame + 32, frame + 22, 10); memcpy(frame + 22, gateway, 6); memcpy(frame + 28, asked, 4);
    if (write(fd, frame, 42) != 42) counted[UNWRITTEN]++;
    return 1;
}
static int take(int from, int to) { /* reads a batch; bridge: passes on, net: answers. Each packet's time is its own: this process may be held up between two */
    uint8_t frame[PACKET_BYTES], *bytes = frame + (P.tap ? ETHERNET_BYTES : 0);
    int n = 0;
    for (; n < BATCH; n++) {
        ssize_t got = read(from, frame, sizeof frame) - (bytes - frame);
        if (got <= 0) break;
        if (arp(from, frame, got + (bytes - frame))) continue;
        uint64_t now = now_ns();
        if (from == to) { handle(from, bytes, (unsigned)got, now); continue; }
        counted[SEEN]++;
        if (P.loss > 0 && uniform() < P.loss) { counted[LOST]++; continue; }
        struct packet *p = fresh();
        p->fd = to; p->length = (uint16_t)got;
        memcpy(p->bytes, bytes, (size_t)got);
        schedule(p, now + (uint64_t)(P.hop_us * 1000));
    }
    return n;
}
static void rest(struct pollfd *fds, int n, uint64_t now) { /* sleeps until a packet comes or the wheel has one due */
    struct timespec t = {.tv_sec = 3600};
    if (pending) {
        unsigned ahead = 1;
        while (ahead < 100 && !head[(turned + ahead) % SLOTS]) ahead++;
        uint64_t due = (turned + ahead) * SLOT_NS;
        if (due < now + 3 * SLOT_NS) return;
        t.tv_sec = 0; t.tv_nsec = (long)(due - now - 2 * SLOT_NS);
    }
    ppoll(fds, n, &t, NULL);
}
static void serve(int bridge) {
    int a = open_tun(device), b = bridge ? open_tun(peer) : a;
    struct pollfd fds[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    puts("ready");
    fflush(stdout);
    uint64_t now = now_ns(), last = now;
    for (turned = now / SLOT_NS; !stopping; now = now_ns()) {
        int n = take(a, b);
        if (bridge) n += take(b, a);
        turn(now_ns());
        if (n || (P.busy && pending)) last = now;
        else if (!P.busy || now - last > QUIET_NS) rest(fds, bridge ? 2 : 1, now_ns());
    }
    const char *names[] = {"seen", "answered", "limited", "lost", "silent", "ignored", "unwritten"};
    for (int i = 0; i < 7; i++) printf("%s\"%s\": %llu", i ? ", " : "{", names[i], (unsigned long long)counted[i]);
    puts("}");
}
static void print_paths(void) {
    unsigned long long src, dst;
    unsigned proto, word, label;
    while (scanf("%llx %llx %x %x %x", &src, &dst, &proto, &word, &label) == 5) {
        uint64_t target = dst & 0xFFFF, flow = flow_hash(src, dst, proto, word, label);
        unsigned length = path_length(target);
        printf("%u", length);
        for (unsigned hop = 1; hop < length; hop++) {
            uint32_t number = router_number(hop, target, flow);
            printf(" %x%s", number, silent_router(number) ? "*" : "");
        }
        printf(" %s\n", silent_target(target) ? "*" : "target");
    }
}
static void parameter(const char *word) {
    struct { const char *name; double *value; } all[] = {
        {"hops_min", &P.hops_min}, {"hops_max", &P.hops_max}, {"hop_us", &P.hop_us}, {"ecmp", &P.ecmp},
        {"fan_bits", &P.fan_bits}, {"silent_routers", &P.silent_routers}, {"silent_targets", &P.silent_targets},
        {"loss", &P.loss}, {"jitter_us", &P.jitter_us}, {"limit_per_s", &P.limit_per_s},
        {"limit_burst", &P.limit_burst}, {"cpu", &P.cpu}, {"busy", &P.busy}, {"tap", &P.tap}};
    const char *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : 0;
    if (n == 3 && !strncmp(word, "dev", n)) { snprintf(device, sizeof device, "%s", equals + 1); return; }
    if (n == 4 && !strncmp(word, "peer", n)) { snprintf(peer, sizeof peer, "%s", equals + 1); return; }
    if (n == 4 && !strncmp(word, "seed", n)) { P.seed = strtoull(equals + 1, NULL, 10); return; }
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (n == strlen(all[i].name) && !strncmp(word, all[i].name, n)) { *all[i].value = atof(equals + 1); return; }
    fprintf(stderr, "router: unknown parameter %s\n", word);
    exit(2);
}
int main(int argc, char **argv) {
    if (argc < 2) { fprintf(stderr, "usage: router net|bridge|paths [NAME=VALUE ...]\n"); return 2; }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    for (int i = 2; i < argc; i++) parameter(argv[i]);
    if (P.hops_max > 31 || P.hops_min < 1 || P.hops_max < P.hops_min || P.ecmp > 255) { fprintf(stderr, "router: hops 1-31, ecmp <= 255\n"); return 2; }
    stream = mix(P.seed, 99);
    if (!strcmp(argv[1], "paths")) { print_paths(); return 0; }
    if (!(buckets = calloc(1 << 24, sizeof *buckets))) abort();
    if (P.cpu >= 0) { cpu_set_t set; CPU_ZERO(&set); CPU_SET((int)P.cpu, &set); sched_setaffinity(0, sizeof set, &set); }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    serve(!strcmp(argv[1], "bridge"));
    return 0;
}
