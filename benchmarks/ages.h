/* How old what arrives is: four histograms, filled from the times that stand in a frame's text. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { BUCKETS = 1 << 20, BUCKET_MICROS = 20 };

typedef struct {
    uint64_t number, oldest;
    uint32_t bucket[BUCKETS];
} Ages;

/* Each update's, each frame's newest update's, each envelope's, and for each frame the newest that any frame had: a
 * flush's last tick, which many a frame of few updates does not carry itself. */
static Ages of_all, of_newest, of_sent, of_flush;

static uint64_t wall_micros(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

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

/* The time that stands after `key`, or 0; `*at` goes on behind it, or becomes NULL when there is no other. */
static uint64_t next_time(const char **at, const char *end, const char *key, size_t key_size) {
    const char *found = memmem(*at, (size_t)(end - *at), key, key_size);
    *at = NULL;
    if (!found) return 0;
    found += key_size;
    while (found < end && (*found == ' ' || *found == '"')) found++;
    if (end - found < 27) return 0;
    *at = found;
    return micros_of(found);
}

static void count_age(Ages *ages, uint64_t now, uint64_t then) {
    uint64_t age = now > then ? now - then : 0, bucket = age / BUCKET_MICROS;
    ages->bucket[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    ages->number++;
    if (age > ages->oldest) ages->oldest = age;
}

static void count_ages(const char *text, size_t size) {
    static uint64_t newest_of_all;
    const char *end = text + size, *at = text;
    uint64_t now = wall_micros(), newest = 0, then;
    while (at) {
        if (!(then = next_time(&at, end, "\"as_of\":", 8))) continue;
        count_age(&of_all, now, then);
        if (then > newest) newest = then;
    }
    if (newest) count_age(&of_newest, now, newest);
    if (newest > newest_of_all) newest_of_all = newest;
    if (newest) count_age(&of_flush, now, newest_of_all);
    at = size > 64 ? end - 64 : text; /* the envelope's is the last field */
    if ((then = next_time(&at, end, "\"timestamp\":", 12))) count_age(&of_sent, now, then);
}

static double percentile_ms(const Ages *ages, double part) {
    uint64_t wanted_number = (uint64_t)((double)ages->number * part), found = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((found += ages->bucket[i]) > wanted_number) return (i + 0.5) * BUCKET_MICROS / 1e3;
    return 0;
}

static void tell_ages(const char *name, const Ages *ages) {
    printf("\"%s\":{\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f},", name, percentile_ms(ages, 0.5),
           percentile_ms(ages, 0.99), (double)ages->oldest / 1e3);
}
