// Counts heap allocations by who asked for them. A program that links this has its own malloc, calloc, realloc and
// aligned allocations in place of the C library's, in all of its shared libraries.
#pragma once

/// Starts counting from zero, on the calling thread only.
void allocation_counter_start(void);

/// Stops counting.
void allocation_counter_stop(void);

/// Allocations asked for by oneDNN or Open MPI, or by the C++ and OpenMP libraries on their behalf.
long allocation_counter_library(void);

/// All other allocations.
long allocation_counter_ours(void);

/// Who asked for the first of those: a symbol or a file; empty if nobody did. Valid until the next start.
const char *allocation_counter_first(void);
