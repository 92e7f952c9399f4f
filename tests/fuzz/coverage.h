/*
 * Counts where compiled code has been, for libFuzzer, which is told of the counters by compiled.py. This is included
 * before each module's own code, with gcc's -fsanitize-coverage=trace-pc: gcc has no counters of its own, as clang has.
 */
#include <stdint.h>

#define PLACES 16384

uint8_t wasinet_counters[PLACES];

/* Called at the beginning of each basic block. */
__attribute__((visibility("hidden"), no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void)
{
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    wasinet_counters[(place ^ place >> 14) % PLACES]++;
}
