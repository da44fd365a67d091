/* A WebSocket load client that costs little, so that the server is what is measured.
 *
 * It opens sockets one after the other, sends all of them the same subscriptions, lets them settle, and then counts
 * for a while. It reads no JSON: an update is a brace beyond the envelope's, and its age comes from the text after "as_of".
 * What it tells are lines of JSON: connected, measuring, result.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20, BUCKETS = 1 << 20, BUCKET_MICROS = 20, HANDSHAKE_SECONDS = 15, LONGEST_HEAD = 16384 };
enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

typedef struct {
    int fd;
    size_t kept;      /* bytes of a frame whose end has not come yet */
    size_t kept_room;
    char *rest;
    uint64_t frames;
} Socket;

typedef struct {
    uint64_t frames, updates, bytes, others, errors, closed, aged, oldest;
    uint32_t ages[BUCKETS];
} Counts;

static Counts counts;
static char room[ROOM];
static int measuring, every; /* of each so many data frames, the age of one is read */
static uint64_t seen;

static void give_up(const char *what) {
    fprintf(stderr, "load client: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static uint64_t wall_micros(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static double own_cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Microseconds since 1970 of `2026-11-20T20:02:42.123456Z`; the second is nearly always the one before's. */
static uint64_t micros_of(const char *text) {
    static char last[20];
    static uint64_t last_second;
    if (memcmp(text, last, 19)) {
        struct tm tm = {0};
        memcpy(last, text, 19);
        if (!strptime(last, "%Y-%m-%dT%H:%M:%S", &tm)) return 0;
        last_second = (uint64_t)timegm(&tm);
    }
    uint64_t fraction = 0;
    for (int i = 20; i < 26; i++) {
        if (text[i] < '0' || text[i] > '9') return 0;
        fraction = fraction * 10 + (uint64_t)(text[i] - '0');
    }
    return last_second * 1000000 + fraction;
}

static void count_ages(const char *text, size_t size) {
    static const char key[] = "\"as_of\":";
    const char *end = text + size, *at = text;
    uint64_t now = wall_micros();
    while ((at = memmem(at, (size_t)(end - at), key, sizeof key - 1))) {
        at += sizeof key - 1;
        while (at < end && (*at == ' ' || *at == '"')) at++;
        if (end - at < 27) return;
        uint64_t then = micros_of(at), age = now > then ? now - then : 0;
        if (!then) continue;
        uint64_t bucket = age / BUCKET_MICROS;
        counts.ages[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        counts.aged++;
        if (age > counts.oldest) counts.oldest = age;
    }
}

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

static void on_text(Socket *socket, const char *text, size_t size) {
    if (!memmem(text, size < 32 ? size : 32, "asset_update", 12)) {
        counts.others++;
        if (memmem(text, size, "\"error\"", 7)) {
            if (!counts.errors++) fprintf(stderr, "load client: refused: %.*s\n", (int)(size < 400 ? size : 400), text);
        }
        return;
    }
    if (!measuring) return;
    counts.frames++;
    socket->frames++;
    counts.bytes += size;
    counts.updates += braces(text, size) - 1;
    if (seen++ % (uint64_t)every == 0) count_ages(text, size);
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

static void on_frame(Socket *socket, int opcode, const char *payload, size_t size) {
    if (opcode == TEXT) on_text(socket, payload, size);
    else if (opcode == PING) send_frame(socket->fd, PONG, payload, size);
    else if (opcode == CLOSE && size >= 2) {
        fprintf(stderr, "load client: closed with %d\n", (unsigned char)payload[0] << 8 | (unsigned char)payload[1]);
    }
}

/* Handles every whole frame in `data` and returns how many bytes that were. */
static size_t on_data(Socket *socket, const char *data, size_t size) {
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
        on_frame(socket, head[0] & 15, data + at + before, length);
        at += before + length;
    }
    return at;
}

/* Reads what is there; false when the socket is gone. All sockets share one room, each keeps only what is left over. */
static int receive(Socket *socket) {
    memcpy(room, socket->rest, socket->kept);
    ssize_t n = recv(socket->fd, room + socket->kept, ROOM - socket->kept, 0);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR);
    size_t size = socket->kept + (size_t)n, used = on_data(socket, room, size), left = size - used;
    if (left > socket->kept_room) {
        socket->rest = realloc(socket->rest, socket->kept_room = left * 2);
        if (!socket->rest) give_up("memory");
    }
    memcpy(socket->rest, room + used, left);
    socket->kept = left;
    return 1;
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static void read_answer(Socket *socket) {
    char head[LONGEST_HEAD];
    size_t size = 0;
    char *end = NULL;
    while (!end) {
        if (size == sizeof head) { errno = EMSGSIZE; give_up("the handshake's answer"); }
        ssize_t n = recv(socket->fd, head + size, sizeof head - size, 0);
        if (n <= 0) give_up("the handshake");
        size += (size_t)n;
        end = memmem(head, size, "\r\n\r\n", 4);
    }
    if (size < 12 || memcmp(head, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "load client: expected an upgrade, was %.*s\n", (int)size, head);
        exit(1);
    }
    end += 4;
    size_t left = size - (size_t)(end - head);
    socket->rest = malloc(socket->kept_room = left + 64);
    memcpy(socket->rest, end, left);
    socket->kept = left;
}

static void open_socket(Socket *one, int port, const char *path, const char *header) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {HANDSHAKE_SECONDS, 0};
    int yes = 1;
    setsockopt(one->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(one->fd, (struct sockaddr *)&address, sizeof address)) give_up("connect");
    char request[LONGEST_HEAD];
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: bG9hZCBjbGllbnQga2V5IQ==\r\n%s%s\r\n",
                        path, port, port, header, *header ? "\r\n" : "");
    if (size >= (int)sizeof request || send(one->fd, request, (size_t)size, MSG_NOSIGNAL) != size) give_up("send");
    read_answer(one);
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
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

/* --- the measurement ---------------------------------------------------------------------------------------------- */

static double percentile_ms(double part) {
    uint64_t wanted = (uint64_t)((double)counts.aged * part), found = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((found += counts.ages[i]) > wanted) return (i + 0.5) * BUCKET_MICROS / 1e3;
    return 0;
}

static void read_for(Socket *sockets, int epoll, double seconds) {
    static struct epoll_event events[1024];
    uint64_t end = wall_micros() + (uint64_t)(seconds * 1e6), now;
    while ((now = wall_micros()) < end) {
        uint64_t left = (end - now) / 1000 + 1;
        int n = epoll_wait(epoll, events, 1024, left < 50 ? (int)left : 50);
        for (int i = 0; i < n; i++) {
            Socket *socket = &sockets[events[i].data.u32];
            if (receive(socket)) continue;
            close(socket->fd);
            counts.closed++;
        }
    }
}

static void tell_result(const Socket *sockets, int number, double seconds, double cpu) {
    uint64_t fewest = UINT64_MAX, most = 0;
    for (int i = 0; i < number; i++) {
        if (sockets[i].frames < fewest) fewest = sockets[i].frames;
        if (sockets[i].frames > most) most = sockets[i].frames;
    }
    printf("{\"event\":\"result\",\"seconds\":%.3f,\"frames\":%lu,\"updates\":%lu,\"bytes\":%lu,\"others\":%lu,"
           "\"errors\":%lu,\"closed\":%lu,\"fewest\":%lu,\"most\":%lu,\"aged\":%lu,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
           "\"max_ms\":%.2f,\"cpu_seconds\":%.3f}\n",
           seconds, counts.frames, counts.updates, counts.bytes, counts.others, counts.errors, counts.closed, fewest,
           most, counts.aged, percentile_ms(0.5), percentile_ms(0.99), (double)counts.oldest / 1e3, cpu);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "usage: load_client PORT PATH SOCKETS SETTLE_SECONDS SECONDS AGES_OF_ONE_IN SUBSCRIPTIONS HEADERS\n"
                        "SUBSCRIPTIONS: a file, each line a text frame for every socket\n"
                        "HEADERS: a file, line n the header of socket n (from the start again when there are fewer)\n");
        return 2;
    }
    int port = atoi(argv[1]), number = atoi(argv[3]), messages, headers;
    double settle = atof(argv[4]), seconds = atof(argv[5]);
    every = atoi(argv[6]) > 0 ? atoi(argv[6]) : 1;
    char **message = lines_of(argv[7], &messages), **header = lines_of(argv[8], &headers);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    Socket *sockets = calloc((size_t)number, sizeof *sockets);
    int epoll = epoll_create1(0);
    for (int i = 0; i < number; i++) {
        open_socket(&sockets[i], port, argv[2], headers ? header[i % headers] : "");
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i].fd, &event)) give_up("epoll");
    }
    /* Only now: nobody reads the first sockets while the last ones are opened. */
    for (int i = 0; i < number; i++)
        for (int j = 0; j < messages; j++) send_frame(sockets[i].fd, TEXT, message[j], strlen(message[j]));
    printf("{\"event\":\"connected\",\"sockets\":%d}\n", number);
    fflush(stdout);
    read_for(sockets, epoll, settle);
    printf("{\"event\":\"measuring\"}\n");
    fflush(stdout);
    measuring = 1;
    uint64_t begun = wall_micros();
    double cpu = own_cpu_seconds();
    read_for(sockets, epoll, seconds);
    tell_result(sockets, number, (double)(wall_micros() - begun) / 1e6, own_cpu_seconds() - cpu);
    return 0;
}
