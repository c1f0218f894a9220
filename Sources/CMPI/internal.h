#ifndef CMPI_INTERNAL_H
#define CMPI_INTERNAL_H

#include "CMPI.h"

/// Calls an MPI function and, when it fails, returns its code and name from the enclosing function.
#define CMPI_TRY(function, ...)                                      \
  do {                                                               \
    const int cmpi_code = function(__VA_ARGS__);                     \
    if (cmpi_code != MPI_SUCCESS) return (cmpi_result){cmpi_code, #function}; \
  } while (0)

/// Refuses arguments that the named MPI function would refuse if they reached it.
#define CMPI_REQUIRE(condition, error, function) \
  do {                                           \
    if (!(condition)) return (cmpi_result){error, #function}; \
  } while (0)

static inline cmpi_result cmpi_ok(void) { return (cmpi_result){MPI_SUCCESS, NULL}; }

static inline long cmpi_min(long a, long b) { return a < b ? a : b; }

#endif
