/*
 * The load of the benchmarks: connections that send a message each, wait until all of the answer has come, and send the
 * next one. One thread, epoll.
 *
 *     load PORT CONNECTIONS WARM_UP SECONDS echo SIZE
 *     load PORT CONNECTIONS WARM_UP SECONDS websocket SIZE
 *     load PORT CONNECTIONS WARM_UP SECONDS http FILE
 *
 * Echo: messages of that size, each of which comes back.
 *
 * WebSocket: a handshake that offers no extension, then masked frames with so many bytes of text; each comes back as
 * one frame without a mask (RFC 6455 section 5).
 *
 * HTTP: the POSTs in a file (for each its size in bytes and where it is cut, a line feed, the bytes); what comes back
 * is a 200 with "echo:" and the POST's body. What follows the cut is sent a millisecond later, when the server has read
 * what is before it; a cut at 0 is none.
 *
 * Every message differs from the one before and from those of most other connections, and every answer is compared with
 * what it should be.
 *
 * After the warm-up no message is under way; it says "ready" and waits for a line. Then it sends for so many seconds,
 * waits for the last answers, and prints what it counted as a line of JSON. Between the two nothing but those messages
 * has passed, so that the server's CPU time can be divided by them exactly. It ends with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Echo's messages begin anywhere in so many random bytes, and go on after them. */
#define STARTS 65536u
/* How many requests a file may have, and how long an answer to one may be. */
#define REQUESTS 65536u
#define ANSWER 1024
/* How many frames there are, and how long the text of one may be: as long as a length of 16 bits says. */
#define FRAMES 1024u
#define TEXT 65535u
/* How many connections are opened at once: fewer than any server lets wait. */
#define TOGETHER 256
/* How long an answer may take, in ms. */
#define PATIENCE 20000
/* Latencies are counted with 7 bits of precision: below 1 %. */
#define PRECISION 7
#define BUCKETS ((64 - PRECISION + 1) << PRECISION)

/* How long after its first part the rest of a message is sent, in ns. */
#define LATER 1000000u

/* What is sent; body: where that of a request begins; cut: where its second part does; expected: what is to come back,
 * and its length; NULL: the answer to a request. */
struct message {
    const char *data;
    size_t size, body, cut;
    const char *expected;
    size_t length;
};

/* next: which message; step: what is added to that each time; answer: what has come of a handshake's or of HTTP's; due:
 * when the rest of a message that is cut is to be sent; after: who comes next of those that wait for that. */
struct conn {
    int fd;
    uint64_t due;
    struct conn *after;
    struct message message;
    size_t sent, got;
    uint64_t began;
    uint32_t next, step;
    char *answer;
};

static char *pool, taken[1 << 18];
/* Those of HTTP and WebSocket. */
static struct message listed[REQUESTS];
/* How many messages there are; the size of echo's, 0: they are listed. */
static uint32_t several;
static size_t echoed;
/* Is there a handshake of WebSocket first? */
static int shaken;
static int queue;
/* Those whose message is sent in part, in the order in which the rest is due. */
static struct conn *firstDue, *lastDue;
static uint64_t buckets[BUCKETS], messages;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void complain(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static uint64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void watch(int operation, struct conn *conn, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(queue, operation, conn->fd, &event)) fail("epoll_ctl");
}

static void count(uint64_t ns)
{
    unsigned shift = 0;
    while (ns >> shift >= 2u << PRECISION) shift++;
    buckets[(shift << PRECISION) + (ns >> shift)]++;
    messages++;
}

/* In us: the middle of the bucket that holds it. */
static double percentile(double percent)
{
    uint64_t before = 0, rank = (uint64_t)((double)messages * percent / 100);
    for (uint64_t at = 0; at < BUCKETS; at++) {
        before += buckets[at];
        if (before > rank) {
            uint64_t shift = at < 2u << PRECISION ? 0 : (at >> PRECISION) - 1;
            return ((double)((at - (shift << PRECISION)) << shift) + (double)((1ull << shift) - 1) / 2) / 1000;
        }
    }
    return 0;
}

/* Send as much as is taken. */
static void push(struct conn *conn, int watched)
{
    size_t end = conn->sent < conn->message.cut ? conn->message.cut : conn->message.size;
    while (conn->sent < end) {
        ssize_t sent = send(conn->fd, conn->message.data + conn->sent, end - conn->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            if (!watched) watch(EPOLL_CTL_MOD, conn, EPOLLIN | EPOLLOUT);
            return;
        }
        if (sent < 0) fail("send");
        conn->sent += (size_t)sent;
    }
    if (watched) watch(EPOLL_CTL_MOD, conn, EPOLLIN);
    if (end == conn->message.size) return;
    conn->due = now(CLOCK_MONOTONIC) + LATER;
    conn->after = NULL;
    if (firstDue) lastDue->after = conn;
    else firstDue = conn;
    lastDue = conn;
}

/* Send the rest of those messages for which it is time. */
static void pushDue(void)
{
    while (firstDue && firstDue->due <= now(CLOCK_MONOTONIC)) {
        struct conn *conn = firstDue;
        firstDue = conn->after;
        push(conn, 0);
    }
}

static void begin(struct conn *conn, uint64_t time)
{
    conn->next = (conn->next + conn->step) % several;
    if (echoed) conn->message = (struct message){pool + conn->next, echoed, 0, 0, pool + conn->next, echoed};
    else conn->message = listed[conn->next];
    conn->sent = conn->got = 0;
    conn->began = time;
    push(conn, 0);
}

/* Is this all of the answer to a request? */
static int answered(const struct conn *conn)
{
    const struct message *sent = &conn->message;
    char *end = memmem(conn->answer, conn->got, "\r\n\r\n", 4);
    if (!end) return 0;
    /* What a search for the length may see ends with the head. */
    *end = 0;
    const char *length = strcasestr(conn->answer, "\ncontent-length:");
    *end = '\r';
    if (memcmp(conn->answer, "HTTP/1.1 200", 12) || !length) complain("an answer isn't a 200 with its length");
    size_t expected = sent->size - sent->body + 5, head = (size_t)(end + 4 - conn->answer);
    if (strtoul(length + 16, NULL, 10) != expected) complain("an answer hasn't the length it should have");
    if (conn->got < head + expected) return 0;
    if (conn->got > head + expected) complain("more came than an answer");
    if (memcmp(end + 4, "echo:", 5) || memcmp(end + 9, sent->data + sent->body, expected - 5))
        complain("an answer isn't what it should be");
    return 1;
}

/* Take what there is. 1 if the answer is complete. */
static int pull(struct conn *conn)
{
    const struct message *sent = &conn->message;
    char *to = sent->expected ? taken : conn->answer + conn->got;
    size_t most = sent->expected ? sizeof taken : ANSWER - conn->got;
    ssize_t came = recv(conn->fd, to, most, 0);
    if (came < 0 && errno == EAGAIN) return 0;
    if (came < 0) fail("recv");
    if (came == 0) complain(most ? "the server has ended a connection" : "an answer is too long");
    conn->got += (size_t)came;
    if (!sent->expected) return answered(conn);
    if (conn->got > sent->length) complain("more came back than was sent");
    if (memcmp(taken, sent->expected + conn->got - came, (size_t)came)) complain("what came back isn't what was sent");
    return conn->got == sent->length;
}

/* Let these connections send until that time, once at the least, and wait for all answers. */
static void exchange(struct conn *first, int many, uint64_t until)
{
    struct epoll_event events[256];
    int under = many;
    for (int at = 0; at < many; at++) begin(first + at, now(CLOCK_MONOTONIC));
    while (under) {
        int ready = epoll_wait(queue, events, 256, firstDue ? 1 : PATIENCE);
        if (ready < 0) fail("epoll_wait");
        if (!ready && !firstDue) complain("an answer doesn't come");
        pushDue();
        for (int at = 0; at < ready; at++) {
            struct conn *conn = events[at].data.ptr;
            if (events[at].events & EPOLLOUT) push(conn, 1);
            if (!(events[at].events & ~(unsigned)EPOLLOUT) || !pull(conn)) continue;
            uint64_t time = now(CLOCK_MONOTONIC);
            count(time - conn->began);
            if (time < until) begin(conn, time);
            else under--;
        }
    }
}

/* Make a WebSocket of a connection that still blocks. */
static void shake(struct conn *conn)
{
    /* RFC 6455 section 1.3 has this key, and the answer to it. */
    static const char asked[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    static const char switching[] = "HTTP/1.1 101 ", accepted[] = ": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    struct timeval patience = {.tv_sec = PATIENCE / 1000};
    char *end = NULL;
    size_t got = 0;
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(conn->fd, asked, sizeof asked - 1, MSG_NOSIGNAL) != sizeof asked - 1) fail("send");
    while (!end) {
        ssize_t came = recv(conn->fd, conn->answer + got, ANSWER - got, 0);
        if (came < 0 && errno == EAGAIN) complain("the handshake isn't answered");
        if (came < 0) fail("recv");
        if (came == 0) complain(got < ANSWER ? "the server has ended a connection" : "an answer is too long");
        got += (size_t)came;
        end = memmem(conn->answer, got, "\r\n\r\n", 4);
    }
    if (memcmp(conn->answer, switching, sizeof switching - 1) ||
        !memmem(conn->answer, got, accepted, sizeof accepted - 1))
        complain("the handshake is refused");
    if (end + 4 != conn->answer + got) complain("more came than the answer to the handshake");
}

static void join(struct conn *conn, const struct sockaddr_in *address)
{
    int yes = 1;
    conn->next = (uint32_t)random() % several;
    /* Odd: where the messages are a power of two, it takes all of them before one comes again. */
    conn->step = ((uint32_t)random() % several) | 1;
    conn->answer = malloc(ANSWER);
    if (!conn->answer) fail("malloc");
    conn->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (conn->fd < 0) fail("socket");
    if (connect(conn->fd, (const struct sockaddr *)address, sizeof *address)) fail("connect");
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (shaken) shake(conn);
    if (fcntl(conn->fd, F_SETFL, O_NONBLOCK)) fail("fcntl");
    watch(EPOLL_CTL_ADD, conn, EPOLLIN);
}

static void makeEchoed(const char *given)
{
    several = STARTS;
    echoed = strtoul(given, NULL, 10);
    pool = malloc(STARTS + echoed);
    if (!echoed || !pool) complain("no size");
    for (size_t at = 0; at < STARTS + echoed; at++) pool[at] = (char)(random() >> 8);
}

static void makeFrames(const char *given)
{
    size_t size = strtoul(given, NULL, 10), head = size < 126 ? 2 : 4;
    if (!size || size > TEXT) complain("no size");
    shaken = 1;
    for (; several < FRAMES; several++) {
        char *masked = malloc(head + 4 + size), *plain = malloc(head + size), *mask = masked + head;
        if (!masked || !plain) fail("malloc");
        /* A text, whole. */
        plain[0] = (char)0x81;
        plain[1] = (char)(size < 126 ? size : 126);
        if (size >= 126) {
            plain[2] = (char)(size >> 8);
            plain[3] = (char)size;
        }
        memcpy(masked, plain, head);
        masked[1] |= (char)0x80;
        for (size_t at = 0; at < 4; at++) mask[at] = (char)(random() >> 8);
        for (size_t at = 0; at < size; at++) {
            plain[head + at] = (char)('a' + random() % 26);
            masked[head + 4 + at] = plain[head + at] ^ mask[at % 4];
        }
        listed[several] = (struct message){masked, head + 4 + size, 0, 0, plain, head + size};
    }
}

static void readRequests(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t size, cut;
    if (!file) fail(path);
    while (several < REQUESTS && fscanf(file, "%zu %zu", &size, &cut) == 2 && getc(file) == '\n') {
        char *data = malloc(size), *end;
        if (!data || fread(data, 1, size, file) != size) complain("the file of requests is cut");
        end = memmem(data, size, "\r\n\r\n", 4);
        if (!end) complain("a request has no end");
        listed[several++] = (struct message){data, size, (size_t)(end + 4 - data), cut, NULL, 0};
    }
    if (!several) complain("there are no requests");
    fclose(file);
}

int main(int given, char **arguments)
{
    if (given != 7) complain("usage: load PORT CONNECTIONS WARM_UP SECONDS echo|websocket|http SIZE|FILE");
    int many = atoi(arguments[2]);
    double warmUp = atof(arguments[3]), seconds = atof(arguments[4]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    srandom(1);
    if (!strcmp(arguments[5], "http")) readRequests(arguments[6]);
    else if (!strcmp(arguments[5], "websocket")) makeFrames(arguments[6]);
    else makeEchoed(arguments[6]);
    struct conn *conns = calloc((size_t)many, sizeof *conns);
    if (!conns) fail("calloc");
    queue = epoll_create1(0);
    if (queue < 0) fail("epoll_create1");

    for (int at = 0; at < many;) {
        int some = many - at < TOGETHER ? many - at : TOGETHER;
        for (int next = at; next < at + some; next++) join(conns + next, &address);
        /* They have been accepted when they have been answered. */
        exchange(conns + at, some, 0);
        at += some;
    }
    exchange(conns, many, now(CLOCK_MONOTONIC) + (uint64_t)(warmUp * 1e9));
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) return 1;

    memset(buckets, 0, sizeof buckets);
    messages = 0;
    uint64_t began = now(CLOCK_MONOTONIC), busy = now(CLOCK_PROCESS_CPUTIME_ID);
    exchange(conns, many, began + (uint64_t)(seconds * 1e9));
    uint64_t took = now(CLOCK_MONOTONIC) - began;
    busy = now(CLOCK_PROCESS_CPUTIME_ID) - busy;
    printf("{\"messages\": %llu, \"us\": %.1f, \"busy\": %.4f, \"p50\": %.2f, \"p99\": %.2f}\n",
           (unsigned long long)messages, (double)took / 1000, (double)busy / (double)took,
           percentile(50), percentile(99));
    fflush(stdout);
    /* Stay: what closing costs the server isn't counted. */
    (void)getchar();
    return 0;
}
