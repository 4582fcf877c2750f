#pragma once
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>
#if defined(__x86_64__)
// Takes AVX2 or AVX-512 at run time where the machine has it; the hash is the same.
#include <xxh_x86dispatch.h>
#endif

/// XXH3, 64 bits, no seed, of `count` bytes.
static inline uint64_t xxh3_64(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }
