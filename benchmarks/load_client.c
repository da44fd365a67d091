/* A WebSocket load client that costs little, so that the server is what is measured.
 *
 * It opens sockets, several handshakes at a time, sends all of them the same subscriptions or each its own, waits until
 * each has had data, and then counts for a while. It reads no JSON: of a single frame it looks at the first bytes only,
 * of a batch it counts braces, of a portfolio's prices, and times come from the text after "as_of" and "timestamp", in
 * one frame of so many.
 * What it tells are lines of JSON: connected, answered (all have had data), measuring, tick (four a second), result.
 * SIGTERM ends counting early.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ages.h"

enum { ROOM = 1 << 20, LONGEST_HEAD = 16384, CODES = 5000 };
enum { PATIENCE_SECONDS = 60, TICK_MICROS = 250000 };
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };
enum { CONNECTING, UPGRADING, GREETING, OPEN, STUCK, GONE };

typedef struct {
    int fd;
    unsigned char state, has_data;
    size_t kept; /* bytes of a frame whose end has not come yet */
    size_t kept_room;
    char *rest;
    uint64_t frames;
} Socket;

static struct {
    int port, sockets, in_flight, greeting, own_subscription, stuck, stuck_receive_buffer, ages_of_one_in;
    double settle, seconds;
    const char *path, *subscriptions, *headers;
} wanted = {.in_flight = 32, .ages_of_one_in = 1, .path = "/", .subscriptions = "/dev/null", .headers = "/dev/null"};

static struct {
    uint64_t frames, updates, bytes, others, errors, closed, stuck_ended, codes[CODES];
} counts;

static char room[ROOM];
static Socket *sockets;
static char **header;
static int headers, epoll, measuring, opened, without_data;
static volatile sig_atomic_t ended;
static uint64_t seen;
static double subscribing; /* seconds from the first subscription to the last one's first data */

static void give_up(const char *what) {
    fprintf(stderr, "load client: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static void tell(const char *event) {
    printf("{\"event\":\"%s\"}\n", event);
    fflush(stdout);
}

static double own_cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

static uint64_t braces(const char *text, size_t size) {
    uint64_t total = 0;
    while (size) { /* eight bits a lane: the compiler makes vectors of runs that cannot overflow */
        size_t run = size < 255 ? size : 255;
        unsigned char found = 0;
        for (size_t i = 0; i < run; i++) found = (unsigned char)(found + (text[i] == '{'));
        total += found;
        text += run;
        size -= run;
    }
    return total;
}

/* Positions in a portfolio's value, each with the time of its price; at least 1, for it is an update without any. */
static uint64_t positions(const char *text, size_t size) {
    const char *end = text + size;
    uint64_t total = 0;
    while ((text = memmem(text, (size_t)(end - text), "\"as_of\":", 8))) total++, text += 8;
    return total ? total : 1;
}

/* Updates in a frame, 0 when it is of another kind. */
static uint64_t updates_in(const char *text, size_t size) {
    static const char start[] = "{\"type\":\"asset_update", portfolio[] = "{\"type\":\"portfolio_update\"";
    const char *behind = text + sizeof start - 1;
    if (size >= sizeof portfolio && !memcmp(text, portfolio, sizeof portfolio - 1)) return positions(text, size);
    if (size < 48 || memcmp(text, start, sizeof start - 1)) { /* other servers write spaces */
        const char *found = memmem(text, size < 40 ? size : 40, "asset_update", 12);
        if (!found) return 0;
        behind = found + 12;
    }
    return *behind == 's' ? braces(text, size) - 1 : 1;
}

static void on_text(Socket *one, const char *text, size_t size) {
    uint64_t updates = updates_in(text, size);
    if (!updates) {
        counts.others++;
        if (memmem(text, size, "\"error\"", 7) && !counts.errors++)
            fprintf(stderr, "load client: refused: %.*s\n", (int)(size < 400 ? size : 400), text);
        return;
    }
    if (!one->has_data) {
        one->has_data = 1;
        without_data--;
    }
    if (!measuring) return;
    counts.frames++;
    one->frames++;
    counts.bytes += size;
    counts.updates += updates;
    if (++seen == (uint64_t)wanted.ages_of_one_in) {
        seen = 0;
        count_ages(text, size);
    }
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static void send_frame(int fd, int opcode, const char *text, size_t size) {
    static char out[LONGEST_HEAD * 4 + 14];
    size_t head = 0;
    if (size > sizeof out - 14) give_up("a frame to send is too long");
    out[head++] = (char)(0x80 | opcode);
    if (size < 126) {
        out[head++] = (char)(0x80 | size);
    } else {
        out[head++] = (char)(0x80 | 126);
        out[head++] = (char)(size >> 8);
        out[head++] = (char)size;
    }
    memset(out + head, 0, 4); /* a mask of zeros leaves the payload as it is */
    memcpy(out + head + 4, text, size);
    size_t whole = head + 4 + size, done = 0;
    while (done < whole) {
        ssize_t n = send(fd, out + done, whole - done, MSG_NOSIGNAL);
        if (n > 0) done += (size_t)n;
        else if (n < 0 && errno == EAGAIN) usleep(200);
        else return; /* gone, which the reading side sees */
    }
}

static void on_frame(Socket *one, int opcode, const char *payload, size_t size) {
    if (opcode == TEXT) {
        if (one->state == GREETING) {
            one->state = OPEN;
            opened++;
        }
        on_text(one, payload, size);
    } else if (opcode == PING) {
        send_frame(one->fd, PONG, payload, size);
    } else if (opcode == CLOSE) {
        int code = size >= 2 ? (unsigned char)payload[0] << 8 | (unsigned char)payload[1] : 1005;
        if (code < CODES) counts.codes[code]++;
        if (one->state == GREETING) fprintf(stderr, "load client: closed with %d in its handshake\n", code);
    }
}

/* Handles every whole frame in `data` and returns how many bytes that were. */
static size_t on_data(Socket *one, const char *data, size_t size) {
    size_t at = 0;
    while (size - at >= 2) {
        const unsigned char *head = (const unsigned char *)data + at;
        size_t length = head[1] & 127, before = 2;
        if (length == 126) {
            if (size - at < 4) break;
            length = (size_t)head[2] << 8 | head[3];
            before = 4;
        } else if (length == 127) {
            if (size - at < 10) break;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | head[i];
            before = 10;
        }
        if (length > ROOM / 2) { errno = EMSGSIZE; give_up("a frame"); }
        if (size - at < before + length) break;
        on_frame(one, head[0] & 15, data + at + before, length);
        at += before + length;
    }
    return at;
}

static void keep(Socket *one, const char *data, size_t size) {
    if (size > one->kept_room) {
        one->rest = realloc(one->rest, one->kept_room = size * 2);
        if (!one->rest) give_up("memory");
    }
    memcpy(one->rest, data, size);
    one->kept = size;
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static void listen_for(int i, int operation, uint32_t what) {
    struct epoll_event event = {.events = what, .data.u32 = (uint32_t)i};
    if (epoll_ctl(epoll, operation, sockets[i].fd, &event)) give_up("epoll");
}

static void start(int i) {
    Socket *one = &sockets[i];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)wanted.port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (one->fd < 0) give_up("socket");
    int yes = 1;
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (i < wanted.stuck && wanted.stuck_receive_buffer)
        setsockopt(one->fd, SOL_SOCKET, SO_RCVBUF, &wanted.stuck_receive_buffer, sizeof(int));
    if (connect(one->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) give_up("connect");
    listen_for(i, EPOLL_CTL_ADD, EPOLLOUT);
}

static void send_request(int i) {
    Socket *one = &sockets[i];
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) { errno = error; give_up("connect"); }
    const char *own = headers ? header[i % headers] : "";
    char request[LONGEST_HEAD];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: bG9hZCBjbGllbnQga2V5IQ==\r\n%s%s\r\n",
                        wanted.path, wanted.port, wanted.port, own, *own ? "\r\n" : "");
    if (size >= (int)sizeof request || send(one->fd, request, (size_t)size, MSG_NOSIGNAL) != size) give_up("send");
    one->state = UPGRADING;
    listen_for(i, EPOLL_CTL_MOD, EPOLLIN);
}

/* Takes the server's answer from the front of `data`; returns how many bytes that were, 0 when its end is missing. */
static size_t on_answer(Socket *one, const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(data, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "load client: expected an upgrade, was %.*s\n", (int)size, data);
        exit(1);
    }
    one->state = wanted.greeting ? GREETING : OPEN;
    opened += !wanted.greeting;
    return (size_t)(end - data) + 4;
}

/* Reads what is there; false when the socket is gone. All sockets share one room, each keeps only what is left over. */
static int receive(Socket *one) {
    memcpy(room, one->rest, one->kept);
    ssize_t n = recv(one->fd, room + one->kept, ROOM - one->kept, 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    size_t size = one->kept + (size_t)n, used = 0;
    if (one->state == UPGRADING) used = on_answer(one, room, size);
    if (one->state != UPGRADING) used += on_data(one, room + used, size - used);
    keep(one, room + used, size - used);
    return 1;
}

static void on_event(int i) {
    Socket *one = &sockets[i];
    if (one->state == CONNECTING) {
        send_request(i);
    } else if (one->state == STUCK) { /* it never reads, so it never learns why; it keeps its end open */
        counts.stuck_ended++;
        epoll_ctl(epoll, EPOLL_CTL_DEL, one->fd, NULL);
    } else if (!receive(one)) {
        if (one->state != OPEN) { errno = 0; give_up("a socket was closed in its handshake"); }
        if (!one->has_data) without_data--;
        counts.closed++;
        one->state = GONE;
        close(one->fd);
    }
}

static int poll_once(int milliseconds) {
    static struct epoll_event events[1024];
    int n = epoll_wait(epoll, events, 1024, milliseconds);
    for (int i = 0; i < n; i++) on_event((int)events[i].data.u32);
    return n;
}

static double open_all(void) {
    uint64_t begun = wall_micros(), moved = begun;
    for (int started = 0, last = 0; opened < wanted.sockets;) {
        for (; started < wanted.sockets && started - opened < wanted.in_flight; started++) start(started);
        poll_once(100);
        if (opened > last) moved = wall_micros();
        last = opened;
        if (wall_micros() - moved > PATIENCE_SECONDS * 1000000ull) { errno = ETIMEDOUT; give_up("a handshake"); }
    }
    return (double)(wall_micros() - begun) / 1e6;
}

/* Returns the lines of a file and their number. */
static char **lines_of(const char *path, int *number) {
    FILE *file = fopen(path, "r");
    if (!file) give_up(path);
    char **lines = NULL, *line = NULL;
    size_t size = 0;
    ssize_t length;
    for (*number = 0; (length = getline(&line, &size, file)) > 0; line = NULL, size = 0) {
        line[strcspn(line, "\r\n")] = 0;
        lines = realloc(lines, sizeof *lines * (size_t)(*number + 1));
        lines[(*number)++] = line;
    }
    fclose(file);
    return lines;
}

/* Reads until at most so many sockets have had no data, or one was refused, which the result then tells. */
static void await_data(int most_without, uint64_t since) {
    while (without_data > most_without && !counts.errors) {
        poll_once(20);
        if (wall_micros() - since > PATIENCE_SECONDS * 1000000ull) {
            fprintf(stderr, "load client: expected data on every socket, was none on %d\n", without_data);
            exit(1);
        }
    }
}

/* Only when all are open: the server shall not be busy with the first while the last ones knock. Where each has a
 * subscription of its own, as many may be unanswered as handshakes. */
static void subscribe_all(void) {
    int messages;
    char **message = lines_of(wanted.subscriptions, &messages);
    uint64_t begun = wall_micros();
    for (int i = 0; i < wanted.sockets; i++) {
        for (int j = 0; j < messages && sockets[i].state == OPEN; j++)
            if (!wanted.own_subscription || j == i % messages)
                send_frame(sockets[i].fd, TEXT, message[j], strlen(message[j]));
        if (wanted.own_subscription) await_data(wanted.sockets - i - 1 + wanted.in_flight - 1, begun);
        else if (i % 50 == 0) poll_once(0);
    }
    await_data(0, begun);
    subscribing = (double)(wall_micros() - begun) / 1e6;
    tell("answered");
}

/* --- the measurement ---------------------------------------------------------------------------------------------- */

static void settle(void) {
    for (uint64_t end = wall_micros() + (uint64_t)(wanted.settle * 1e6); wall_micros() < end;) poll_once(20);
}

/* From now on these never read; their local ports tell the server's ends of them. */
static void get_stuck(void) {
    printf("{\"event\":\"measuring\",\"stuck_ports\":[");
    for (int i = 0; i < wanted.stuck; i++) {
        struct sockaddr_in own;
        socklen_t length = sizeof own;
        getsockname(sockets[i].fd, (struct sockaddr *)&own, &length);
        sockets[i].state = STUCK;
        listen_for(i, EPOLL_CTL_MOD, EPOLLRDHUP);
        printf(i ? ",%d" : "%d", ntohs(own.sin_port));
    }
    printf("]}\n");
    fflush(stdout);
}

static void read_for(double seconds) {
    uint64_t begun = wall_micros(), end = begun + (uint64_t)(seconds * 1e6), tick = begun + TICK_MICROS, now;
    while (!ended && (now = wall_micros()) < end) {
        if (now >= tick) {
            tell("tick");
            tick += TICK_MICROS;
        }
        uint64_t left = (end - now) / 1000 + 1;
        poll_once(left < 20 ? (int)left : 20);
    }
}

static void tell_result(double connecting, double seconds, double cpu) {
    uint64_t fewest = UINT64_MAX, most = 0;
    for (int i = wanted.stuck; i < wanted.sockets; i++) {
        if (sockets[i].frames < fewest) fewest = sockets[i].frames;
        if (sockets[i].frames > most) most = sockets[i].frames;
    }
    printf("{\"event\":\"result\",\"connect_seconds\":%.4f,\"subscribe_seconds\":%.4f,\"seconds\":%.4f,"
           "\"frames\":%lu,\"updates\":%lu,\"bytes\":%lu,\"others\":%lu,\"errors\":%lu,\"closed\":%lu,"
           "\"stuck_ended\":%lu,\"fewest\":%lu,\"most\":%lu,\"aged\":%lu,",
           connecting, subscribing, seconds, counts.frames, counts.updates, counts.bytes, counts.others, counts.errors,
           counts.closed, counts.stuck_ended, fewest, most, of_all.number);
    tell_ages("age", &of_all);
    tell_ages("newest", &of_newest);
    tell_ages("sent", &of_sent);
    tell_ages("flush", &of_flush);
    printf("\"codes\":{");
    for (int i = 0, first = 1; i < CODES; i++)
        if (counts.codes[i]) printf(first ? "\"%d\":%lu" : ",\"%d\":%lu", i, counts.codes[i]), first = 0;
    printf("},\"cpu_seconds\":%.3f}\n", cpu);
    fflush(stdout);
}

static void on_signal(int signal) { ended = signal; }

static void read_options(int argc, char **argv) {
    struct { const char *name; int *number; double *seconds; const char **text; } options[] = {
        {"port", &wanted.port, 0, 0}, {"sockets", &wanted.sockets, 0, 0}, {"in_flight", &wanted.in_flight, 0, 0},
        {"greeting", &wanted.greeting, 0, 0}, {"stuck", &wanted.stuck, 0, 0},
        {"own_subscription", &wanted.own_subscription, 0, 0},
        {"stuck_receive_buffer", &wanted.stuck_receive_buffer, 0, 0},
        {"ages_of_one_in", &wanted.ages_of_one_in, 0, 0}, {"settle", 0, &wanted.settle, 0},
        {"seconds", 0, &wanted.seconds, 0}, {"path", 0, 0, &wanted.path},
        {"subscriptions", 0, 0, &wanted.subscriptions}, {"headers", 0, 0, &wanted.headers},
    };
    size_t known = sizeof options / sizeof *options;
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        size_t j = 0, length = value ? (size_t)(value - argv[i]) : 0;
        while (j < known && (strlen(options[j].name) != length || memcmp(options[j].name, argv[i], length))) j++;
        if (!value || j == known) {
            fprintf(stderr, "load client: expected name=value, was %s; names:", argv[i]);
            for (j = 0; j < known; j++) fprintf(stderr, " %s", options[j].name);
            fprintf(stderr, "\n");
            exit(2);
        }
        if (options[j].number) *options[j].number = atoi(value + 1);
        if (options[j].seconds) *options[j].seconds = atof(value + 1);
        if (options[j].text) *options[j].text = value + 1;
    }
    if (wanted.port < 1 || wanted.sockets < 1 || wanted.ages_of_one_in < 1 || wanted.in_flight < 1) {
        fprintf(stderr, "load client: expected a port, sockets, in_flight and ages_of_one_in of at least 1\n");
        exit(2);
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    header = lines_of(wanted.headers, &headers);
    signal(SIGTERM, on_signal);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    sockets = calloc((size_t)wanted.sockets, sizeof *sockets);
    epoll = epoll_create1(0);
    if (!sockets || epoll < 0) give_up("start");
    without_data = wanted.seconds > 0 ? wanted.sockets : 0;
    double connecting = open_all();
    tell("connected");
    if (wanted.seconds > 0) {
        subscribe_all();
        settle();
    }
    get_stuck();
    measuring = 1;
    uint64_t begun = wall_micros();
    double cpu = own_cpu_seconds();
    read_for(wanted.seconds);
    tell_result(connecting, (double)(wall_micros() - begun) / 1e6, own_cpu_seconds() - cpu);
    return 0;
}
