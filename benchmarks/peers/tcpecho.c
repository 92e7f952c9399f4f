/*
 * The floor: C on epoll, with no more than an echo needs. It also shows that the load can do more than any other
 * candidate asks of it. tcpecho PORT BACKLOG WRITES NODELAY
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* What can't be sent yet. */
struct conn {
    int fd;
    size_t start, end;
    char *held;
};

static char taken[65536];
static int queue;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int operation, struct conn *conn, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(queue, operation, conn->fd, &event)) fail("epoll_ctl");
}

static void end(struct conn *conn)
{
    close(conn->fd);
    free(conn->held);
    free(conn);
}

/* Send all there is; what isn't taken is held, and nothing is read meanwhile. 0 if the peer has gone. */
static int echo(struct conn *conn, size_t size, size_t writes)
{
    size_t each = (size + writes - 1) / writes;
    for (size_t at = 0; at < size;) {
        size_t most = size - at < each ? size - at : each;
        ssize_t sent = send(conn->fd, taken + at, most, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return 0;
        if (sent < 0) {
            conn->held = malloc(size - at);
            if (!conn->held) fail("malloc");
            memcpy(conn->held, taken + at, size - at);
            conn->start = 0;
            conn->end = size - at;
            watch(EPOLL_CTL_MOD, conn, EPOLLOUT);
            return 1;
        }
        at += (size_t)sent;
    }
    return 1;
}

static int flush(struct conn *conn)
{
    ssize_t sent = send(conn->fd, conn->held + conn->start, conn->end - conn->start, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    conn->start += (size_t)sent;
    if (conn->start == conn->end) {
        free(conn->held);
        conn->held = NULL;
        watch(EPOLL_CTL_MOD, conn, EPOLLIN);
    }
    return 1;
}

static void acceptAll(int listener, int nodelay)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0 && errno == EAGAIN) return;
        if (fd < 0) fail("accept4");
        struct conn *conn = calloc(1, sizeof *conn);
        if (!conn) fail("calloc");
        conn->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof nodelay);
        watch(EPOLL_CTL_ADD, conn, EPOLLIN);
    }
}

int main(int count, char **arguments)
{
    if (count != 5) return 2;
    size_t writes = strtoul(arguments[3], NULL, 10);
    int nodelay = atoi(arguments[4]), yes = 1;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (listen(listener, atoi(arguments[2]))) fail("listen");
    queue = epoll_create1(0);
    struct epoll_event first = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    if (epoll_ctl(queue, EPOLL_CTL_ADD, listener, &first)) fail("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(queue, events, 256, -1);
        for (int at = 0; at < ready; at++) {
            struct conn *conn = events[at].data.ptr;
            if (!conn) {
                acceptAll(listener, nodelay);
            } else if (conn->held) {
                if (!flush(conn)) end(conn);
            } else {
                ssize_t size = recv(conn->fd, taken, sizeof taken, 0);
                if (size < 0 && errno == EAGAIN) continue;
                if (size <= 0 || !echo(conn, (size_t)size, writes)) end(conn);
            }
        }
    }
}
