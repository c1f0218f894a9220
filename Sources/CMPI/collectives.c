// Collectives with long counts. Pieces are made from arguments that all ranks share, so that all ranks make the same
// calls.
#include <limits.h>
#include <string.h>
#include <time.h>

#include "internal.h"

/// Tag of the point-to-point messages below; a communicator's own collectives never match it.
enum { EXCHANGE_TAG = 1 };

cmpi_result cmpi_barrier(MPI_Comm comm) {
  CMPI_TRY(MPI_Barrier, comm);
  return cmpi_ok();
}

cmpi_result cmpi_barrier_within(MPI_Comm comm, long milliseconds, int *arrived) {
  const struct timespec pause = {0, 1000000};
  const double deadline = MPI_Wtime() + 1e-3 * (double)milliseconds;
  MPI_Request request;
  *arrived = 0;
  CMPI_TRY(MPI_Ibarrier, comm, &request);
  for (;;) {
    CMPI_TRY(MPI_Test, &request, arrived, MPI_STATUS_IGNORE);
    if (*arrived || MPI_Wtime() >= deadline) return cmpi_ok();
    nanosleep(&pause, NULL);
  }
}

cmpi_result cmpi_broadcast(void *buffer, long count, cmpi_type type, int root, MPI_Comm comm, long piece) {
  CMPI_REQUIRE(count >= 0, MPI_ERR_COUNT, MPI_Bcast);
  CMPI_REQUIRE(piece > 0 && piece <= INT_MAX, MPI_ERR_ARG, MPI_Bcast);
  const size_t width = cmpi_width(type);
  for (long done = 0; done < count; done += piece) {
    char *part = (char *)buffer + (size_t)done * width;
    CMPI_TRY(MPI_Bcast, part, (int)cmpi_min(piece, count - done), cmpi_datatype(type), root, comm);
  }
  return cmpi_ok();
}

cmpi_result cmpi_all_reduce(
    void *buffer, long count, cmpi_type type, cmpi_operation operation, MPI_Comm comm, long piece) {
  CMPI_REQUIRE(count >= 0, MPI_ERR_COUNT, MPI_Allreduce);
  CMPI_REQUIRE(piece > 0 && piece <= INT_MAX, MPI_ERR_ARG, MPI_Allreduce);
  const size_t width = cmpi_width(type);
  for (long done = 0; done < count; done += piece) {
    char *part = (char *)buffer + (size_t)done * width;
    const int elements = (int)cmpi_min(piece, count - done);
    CMPI_TRY(MPI_Allreduce, MPI_IN_PLACE, part, elements, cmpi_datatype(type), cmpi_op(operation), comm);
  }
  return cmpi_ok();
}

cmpi_result cmpi_all_gather(const void *send, long count, void *receive, cmpi_type type, MPI_Comm comm, long piece) {
  CMPI_REQUIRE(count >= 0, MPI_ERR_COUNT, MPI_Allgather);
  const MPI_Datatype datatype = cmpi_datatype(type);
  int rank, size;
  CMPI_TRY(MPI_Comm_rank, comm, &rank);
  CMPI_TRY(MPI_Comm_size, comm, &size);
  CMPI_REQUIRE(piece > 0 && piece <= INT_MAX, MPI_ERR_ARG, MPI_Allgather);
  const size_t bytes = (size_t)count * cmpi_width(type);
  char *own = (char *)receive + (size_t)rank * bytes;
  if (count <= piece) {
    const void *source = send == own ? MPI_IN_PLACE : send;
    CMPI_TRY(MPI_Allgather, source, (int)count, datatype, receive, (int)count, datatype, comm);
    return cmpi_ok();
  }
  if (send != own) memcpy(own, send, bytes);
  for (int root = 0; root < size; root++) {
    const cmpi_result result =
        cmpi_broadcast((char *)receive + (size_t)root * bytes, count, type, root, comm, piece);
    if (result.code != MPI_SUCCESS) return result;
  }
  return cmpi_ok();
}

cmpi_result cmpi_all_gather_v(
    const void *send, long count, void *receive, const long *counts, const long *offsets, cmpi_type type, MPI_Comm comm,
    cmpi_scratch *scratch, long piece) {
  const size_t width = cmpi_width(type);
  const MPI_Datatype datatype = cmpi_datatype(type);
  int rank;
  CMPI_TRY(MPI_Comm_rank, comm, &rank);
  CMPI_REQUIRE(count == counts[rank], MPI_ERR_COUNT, MPI_Allgatherv);
  CMPI_REQUIRE(piece > 0 && piece <= INT_MAX, MPI_ERR_ARG, MPI_Allgatherv);

  // One call, relative to the lowest offset, when every number fits an int. Empty blocks may have any offset.
  long lowest = LONG_MAX, end = 0, largest = 0;
  for (int r = 0; r < scratch->size; r++) {
    CMPI_REQUIRE(counts[r] >= 0 && offsets[r] >= 0, MPI_ERR_COUNT, MPI_Allgatherv);
    if (counts[r] == 0) continue;
    lowest = cmpi_min(lowest, offsets[r]);
    if (offsets[r] + counts[r] > end) end = offsets[r] + counts[r];
    if (counts[r] > largest) largest = counts[r];
  }
  if (largest == 0) return cmpi_ok();
  char *own = (char *)receive + (size_t)offsets[rank] * width;
  const int in_place = send == own;
  if (largest <= piece && end - lowest <= INT_MAX) {
    for (int r = 0; r < scratch->size; r++) {
      scratch->counts[r] = (int)counts[r];
      scratch->offsets[r] = counts[r] == 0 ? 0 : (int)(offsets[r] - lowest);
    }
    CMPI_TRY(
        MPI_Allgatherv, in_place ? MPI_IN_PLACE : send, in_place ? 0 : (int)count, datatype,
        (char *)receive + (size_t)lowest * width, scratch->counts, scratch->offsets, datatype, comm);
    return cmpi_ok();
  }

  if (!in_place && count > 0) memcpy(own, send, (size_t)count * width);
  for (int root = 0; root < scratch->size; root++) {
    char *block = (char *)receive + (size_t)offsets[root] * width;
    const cmpi_result result = cmpi_broadcast(block, counts[root], type, root, comm, piece);
    if (result.code != MPI_SUCCESS) return result;
  }
  return cmpi_ok();
}

/// Waits for one receive and checks that it got as many elements as were expected: MPI itself only refuses messages
/// that are too long.
static cmpi_result wait_for_receive(MPI_Request *request, int expected, MPI_Datatype datatype) {
  MPI_Status status;
  int elements = 0;
  CMPI_TRY(MPI_Wait, request, &status);
  CMPI_TRY(MPI_Get_count, &status, datatype, &elements);
  CMPI_REQUIRE(elements == expected, MPI_ERR_COUNT, MPI_Irecv);
  return cmpi_ok();
}

/// Waits for `receives` receives and then `sends` sends in `scratch->requests`; after an error none of the receives can
/// write to the caller's memory any more.
///
/// One by one rather than with MPI_Waitall, which in Open MPI 4.1.4 can spin for ever when several requests fail.
static cmpi_result wait_for_exchange(cmpi_scratch *scratch, int receives, int sends, MPI_Datatype datatype) {
  cmpi_result result = cmpi_ok();
  for (int i = 0; i < receives; i++) {
    if (result.code == MPI_SUCCESS) {
      result = wait_for_receive(&scratch->requests[i], scratch->expected[i], datatype);
    } else {
      MPI_Cancel(&scratch->requests[i]);
      MPI_Wait(&scratch->requests[i], MPI_STATUS_IGNORE);
    }
  }
  for (int i = receives; i < receives + sends; i++) {
    if (result.code == MPI_SUCCESS) {
      const int code = MPI_Wait(&scratch->requests[i], MPI_STATUS_IGNORE);
      if (code != MPI_SUCCESS) result = (cmpi_result){code, "MPI_Wait"};
    } else {
      MPI_Request_free(&scratch->requests[i]);
    }
  }
  return result;
}

// Point-to-point rather than MPI_Alltoallv: its counts and displacements are ints, and whether they fit is known to
// each pair of ranks alone, so ranks could not agree without another collective on who makes which call. Each pair
// knows its two counts; round i carries the i-th piece of every pair that has one. Open MPI's own algorithm is the
// same: post all, wait for all.
cmpi_result cmpi_all_to_all_v(
    const void *send, const long *send_counts, const long *send_offsets, void *receive, const long *receive_counts,
    const long *receive_offsets, cmpi_type type, MPI_Comm comm, cmpi_scratch *scratch, long piece) {
  const size_t width = cmpi_width(type);
  const MPI_Datatype datatype = cmpi_datatype(type);
  const int size = scratch->size;
  int rank;
  CMPI_TRY(MPI_Comm_rank, comm, &rank);
  CMPI_REQUIRE(piece > 0 && piece <= INT_MAX, MPI_ERR_ARG, MPI_Alltoallv);
  long largest = 0;
  for (int r = 0; r < size; r++) {
    CMPI_REQUIRE(send_counts[r] >= 0 && receive_counts[r] >= 0, MPI_ERR_COUNT, MPI_Alltoallv);
    if (r == rank) continue;
    if (send_counts[r] > largest) largest = send_counts[r];
    if (receive_counts[r] > largest) largest = receive_counts[r];
  }
  CMPI_REQUIRE(send_counts[rank] == receive_counts[rank], MPI_ERR_COUNT, MPI_Alltoallv);

  for (long done = 0; done < largest || done == 0; done += piece) {
    int receives = 0, sends = 0;
    // Neighbours first, each rank from its own place in the ring, so that not all begin with rank 0.
    for (int step = 1; step < size; step++) {
      const int source = (rank - step + size) % size;
      if (receive_counts[source] <= done) continue;
      char *target = (char *)receive + (size_t)(receive_offsets[source] + done) * width;
      const int elements = (int)cmpi_min(piece, receive_counts[source] - done);
      scratch->expected[receives] = elements;
      CMPI_TRY(
          MPI_Irecv, target, elements, datatype, source, EXCHANGE_TAG, comm, &scratch->requests[receives]);
      receives++;
    }
    for (int step = 1; step < size; step++) {
      const int target = (rank + step) % size;
      if (send_counts[target] <= done) continue;
      const char *source = (const char *)send + (size_t)(send_offsets[target] + done) * width;
      const int elements = (int)cmpi_min(piece, send_counts[target] - done);
      CMPI_TRY(
          MPI_Isend, source, elements, datatype, target, EXCHANGE_TAG, comm, &scratch->requests[receives + sends]);
      sends++;
    }
    if (done == 0 && send_counts[rank] > 0) {
      memmove(
          (char *)receive + (size_t)receive_offsets[rank] * width,
          (const char *)send + (size_t)send_offsets[rank] * width, (size_t)send_counts[rank] * width);
    }
    const cmpi_result result = wait_for_exchange(scratch, receives, sends, datatype);
    if (result.code != MPI_SUCCESS) return result;
  }
  return cmpi_ok();
}

// Point-to-point for the same reason: only the root knows all counts.
cmpi_result cmpi_gather_v(
    const void *send, long count, void *receive, const long *counts, const long *offsets, cmpi_type type, int root,
    MPI_Comm comm, long piece) {
  const size_t width = cmpi_width(type);
  const MPI_Datatype datatype = cmpi_datatype(type);
  int rank, size;
  CMPI_TRY(MPI_Comm_rank, comm, &rank);
  CMPI_TRY(MPI_Comm_size, comm, &size);
  CMPI_REQUIRE(root >= 0 && root < size, MPI_ERR_ROOT, MPI_Gatherv);
  CMPI_REQUIRE(count >= 0, MPI_ERR_COUNT, MPI_Gatherv);
  CMPI_REQUIRE(piece > 0 && piece <= INT_MAX, MPI_ERR_ARG, MPI_Gatherv);
  if (rank != root) {
    for (long done = 0; done < count; done += piece) {
      const char *part = (const char *)send + (size_t)done * width;
      CMPI_TRY(MPI_Send, part, (int)cmpi_min(piece, count - done), datatype, root, EXCHANGE_TAG, comm);
    }
    return cmpi_ok();
  }
  CMPI_REQUIRE(count == counts[root], MPI_ERR_COUNT, MPI_Gatherv);
  char *own = (char *)receive + (size_t)offsets[root] * width;
  if (count > 0 && own != send) memmove(own, send, (size_t)count * width);
  for (int source = 0; source < size; source++) {
    if (source == root) continue;
    CMPI_REQUIRE(counts[source] >= 0, MPI_ERR_COUNT, MPI_Gatherv);
    for (long done = 0; done < counts[source]; done += piece) {
      char *part = (char *)receive + (size_t)(offsets[source] + done) * width;
      const int expected = (int)cmpi_min(piece, counts[source] - done);
      int elements = 0;
      MPI_Status status;
      CMPI_TRY(MPI_Recv, part, expected, datatype, source, EXCHANGE_TAG, comm, &status);
      CMPI_TRY(MPI_Get_count, &status, datatype, &elements);
      CMPI_REQUIRE(elements == expected, MPI_ERR_COUNT, MPI_Recv);
    }
  }
  return cmpi_ok();
}
