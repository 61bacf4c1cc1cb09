/* Answers with what libgsm makes of frames: for tests and benches, over pipes, so that no C is
 * linked into them.
 *
 *   encode         takes 160 samples, gives 33 octets, and so on until the input ends
 *   decode         takes 33 octets, gives 160 samples
 *   time-encode N  takes N frames, and for each octet after them codes them all and says how many
 *   time-decode N  nanoseconds that took, in a line
 *
 * Frames belong to sixteen streams in turn. Samples are in this machine's order of octets.
 */
#include <gsm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STREAMS = 16, SAMPLES = 160, OCTETS = 33 };

typedef struct {
    gsm_signal samples[SAMPLES];
    gsm_byte octets[OCTETS];
} frame;

static int read_frame(frame *f, int encodes) {
    void *to = encodes ? (void *)f->samples : (void *)f->octets;
    return fread(to, encodes ? sizeof f->samples : sizeof f->octets, 1, stdin) == 1;
}

static void code(gsm state, frame *f, int encodes) {
    if (encodes) {
        gsm_encode(state, f->samples, f->octets);
    } else if (gsm_decode(state, f->octets, f->samples) != 0) {
        exit(3);
    }
}

static void answer(gsm states[STREAMS], int encodes) {
    frame f;
    for (size_t i = 0; read_frame(&f, encodes); i++) {
        code(states[i % STREAMS], &f, encodes);
        const void *from = encodes ? (const void *)f.octets : (const void *)f.samples;
        if (fwrite(from, encodes ? sizeof f.octets : sizeof f.samples, 1, stdout) != 1) {
            exit(4);
        }
    }
}

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void measure(gsm states[STREAMS], int encodes, size_t count) {
    frame *frames = malloc(count * sizeof *frames);
    for (size_t i = 0; i < count; i++) {
        if (!frames || !read_frame(&frames[i], encodes)) {
            exit(5);
        }
    }
    while (getchar() != EOF) {
        long long start = now_ns();
        for (size_t i = 0; i < count; i++) {
            code(states[i % STREAMS], &frames[i], encodes);
        }
        printf("%lld\n", now_ns() - start);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    int encodes = strstr(mode, "encode") != NULL;
    gsm states[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        states[i] = gsm_create();
    }
    if (strncmp(mode, "time-", 5) == 0 && argc > 2) {
        measure(states, encodes, strtoul(argv[2], NULL, 10));
    } else if (encodes || strcmp(mode, "decode") == 0) {
        answer(states, encodes);
    } else {
        return 2;
    }
    return 0;
}
