// How the clocks of hosts differ, and how long messages take.
#include <time.h>

#include "internal.h"

enum { CLOCK_TAG = 2, PING_TAG = 3 };

static long nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000L + now.tv_nsec;
}

/// Rank 0's part with one other rank: asks it for the time again and again, and takes the answer that came quickest to
/// be of the middle between question and answer (Cristian 1989).
static cmpi_result ask(MPI_Comm comm, int rank, int rounds) {
  long best = 0, offset = 0;
  for (int i = 0; i <= rounds; i++) {
    long theirs = 0;
    const long start = nanoseconds();
    CMPI_TRY(MPI_Send, &start, 1, MPI_LONG, rank, CLOCK_TAG, comm);
    CMPI_TRY(MPI_Recv, &theirs, 1, MPI_LONG, rank, CLOCK_TAG, comm, MPI_STATUS_IGNORE);
    const long end = nanoseconds();
    // The first message may have to make a connection.
    if (i > 0 && (i == 1 || end - start < best)) {
      best = end - start;
      offset = theirs - (start + best / 2);
    }
  }
  CMPI_TRY(MPI_Send, &offset, 1, MPI_LONG, rank, CLOCK_TAG, comm);
  return cmpi_ok();
}

cmpi_result cmpi_clock_offset(MPI_Comm comm, int rounds, long *offset) {
  int rank, size;
  CMPI_TRY(MPI_Comm_rank, comm, &rank);
  CMPI_TRY(MPI_Comm_size, comm, &size);
  CMPI_REQUIRE(rounds > 0, MPI_ERR_ARG, MPI_Send);
  *offset = 0;
  if (rank == 0) {
    for (int other = 1; other < size; other++) {
      const cmpi_result result = ask(comm, other, rounds);
      if (result.code != MPI_SUCCESS) return result;
    }
    return cmpi_ok();
  }
  for (int i = 0; i <= rounds; i++) {
    long question = 0;
    CMPI_TRY(MPI_Recv, &question, 1, MPI_LONG, 0, CLOCK_TAG, comm, MPI_STATUS_IGNORE);
    const long now = nanoseconds();
    CMPI_TRY(MPI_Send, &now, 1, MPI_LONG, 0, CLOCK_TAG, comm);
  }
  CMPI_TRY(MPI_Recv, offset, 1, MPI_LONG, 0, CLOCK_TAG, comm, MPI_STATUS_IGNORE);
  return cmpi_ok();
}

cmpi_result cmpi_exchange_seconds(
    MPI_Comm comm, int peer, const void *send, void *receive, long bytes, int rounds, double *seconds) {
  CMPI_REQUIRE(bytes >= 0 && bytes <= 0x7fffffffL, MPI_ERR_COUNT, MPI_Sendrecv);
  CMPI_REQUIRE(rounds > 0, MPI_ERR_ARG, MPI_Sendrecv);
  for (int i = 0; i <= rounds; i++) {
    const long start = nanoseconds();
    CMPI_TRY(
        MPI_Sendrecv, send, (int)bytes, MPI_BYTE, peer, PING_TAG, receive, (int)bytes, MPI_BYTE, peer, PING_TAG, comm,
        MPI_STATUS_IGNORE);
    const double taken = 1e-9 * (double)(nanoseconds() - start);
    if (i == 1 || taken < *seconds) *seconds = taken;
  }
  return cmpi_ok();
}
