/*
 * Forwards TCP connections and delays every byte, in both directions, by the same time:
 *
 *     latency-proxy HOST PORT DELAY_MICROS
 *
 * Prints the port it listens on (127.0.0.1) and ends when its standard input does. One thread, epoll, one timerfd with
 * nanosecond resolution: what is read is stamped, and written when its time has come. Linux only; bench/harness/proxy.ts
 * uses slow-proxy.ts where this cannot be compiled.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 65536
#define EVENTS 64

/* Bytes on their way to `to`. length 0: the sender has closed its side. */
struct chunk {
  struct chunk *next;
  uint64_t due;
  struct side *to;
  size_t length;
  char bytes[];
};

/* One socket of a pair. A pair is freed by nobody: a benchmark opens a few dozen. */
struct side {
  int fd;
  struct side *peer;
};

static struct chunk *first, **last = &first;
static uint64_t delay_nanos;
static int timer_fd;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now_nanos(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void watch(int epoll_fd, int fd, void *data) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Every chunk is delayed alike, so the queue is in order by itself: the timer is for its head. */
static void arm(void) {
  struct itimerspec at = {0};
  if (first) {
    at.it_value.tv_sec = (time_t)(first->due / 1000000000u);
    at.it_value.tv_nsec = (long)(first->due % 1000000000u);
  }
  timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = send(fd, bytes, length, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return; /* the receiver has gone */
    bytes += written;
    length -= (size_t)written;
  }
}

static void deliver_due(void) {
  while (first && first->due <= now_nanos()) {
    struct chunk *chunk = first;
    first = chunk->next;
    if (!first) last = &first;
    if (chunk->length > 0) write_all(chunk->to->fd, chunk->bytes, chunk->length);
    else shutdown(chunk->to->fd, SHUT_WR);
    free(chunk);
  }
}

static void take(int epoll_fd, struct side *from) {
  struct chunk *chunk = malloc(sizeof *chunk + READ_BYTES);
  if (!chunk) die("malloc");
  ssize_t length = read(from->fd, chunk->bytes, READ_BYTES);
  if (length <= 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, from->fd, NULL);
  chunk->next = NULL;
  chunk->due = now_nanos() + delay_nanos;
  chunk->to = from->peer;
  chunk->length = length > 0 ? (size_t)length : 0;
  *last = chunk;
  last = &chunk->next;
}

static void accept_pair(int epoll_fd, int listener, const struct addrinfo *upstream) {
  struct side *sides = calloc(2, sizeof *sides);
  if (!sides) die("calloc");
  sides[0].fd = accept(listener, NULL, NULL);
  if (sides[0].fd < 0) die("accept");
  sides[1].fd = socket(upstream->ai_family, SOCK_STREAM, 0);
  if (connect(sides[1].fd, upstream->ai_addr, upstream->ai_addrlen) < 0) die("connect");
  for (int at = 0; at < 2; at++) {
    sides[at].peer = &sides[1 - at];
    no_delay(sides[at].fd);
    watch(epoll_fd, sides[at].fd, &sides[at]);
  }
}

int main(int argc, char **argv) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *upstream;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (argc != 4 || getaddrinfo(argv[1], argv[2], &hints, &upstream) != 0) {
    fprintf(stderr, "usage: latency-proxy HOST PORT DELAY_MICROS\n");
    return 1;
  }
  delay_nanos = (uint64_t)(atof(argv[3]) * 1000);
  signal(SIGPIPE, SIG_IGN);

  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 128) < 0) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  int epoll_fd = epoll_create1(0);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  if (epoll_fd < 0 || timer_fd < 0) die("epoll_create1");
  watch(epoll_fd, listener, &listener);
  watch(epoll_fd, timer_fd, &timer_fd);
  watch(epoll_fd, STDIN_FILENO, NULL);

  for (;;) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll_fd, events, EVENTS, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int at = 0; at < count; at++) {
      void *what = events[at].data.ptr;
      if (what == NULL) return 0;
      if (what == &listener) accept_pair(epoll_fd, listener, upstream);
      else if (what == &timer_fd) {
        uint64_t expirations;
        if (read(timer_fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("read");
      } else take(epoll_fd, what);
    }
    deliver_due();
    arm();
  }
}
