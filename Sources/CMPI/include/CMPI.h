// What Swift cannot import from <mpi.h>, and what MPI-3 cannot count.
//
// MPI's handles and constants are macros, which Swift's importer does not see; here they become inline functions.
// Counts in MPI-3 are `int`; here they are `long`, and a call on more elements than `piece` is made in several calls.
// Every function returns a cmpi_result, so that the Swift side looks at codes in one place and can name the MPI call
// that failed.
//
// Types such as MPI_Comm and plain numbers such as MPI_SUCCESS need no wrapping and are used from <mpi.h> directly.
#ifndef CMPI_H
#define CMPI_H

#include <mpi.h>
#include <stddef.h>

/// An MPI return code and the name of the MPI call that returned it. `call` is static text, NULL on success.
typedef struct {
  int code;
  const char *call;
} cmpi_result;

/// Element types of the collectives; the order is that of the Swift enumeration MPIElementType.
typedef enum { CMPI_FLOAT32, CMPI_FLOAT64, CMPI_INT32, CMPI_INT64, CMPI_BYTE, CMPI_BITS16 } cmpi_type;

/// Reductions of cmpi_all_reduce.
typedef enum { CMPI_SUM, CMPI_MAX, CMPI_MIN } cmpi_operation;

/// Working memory of one communicator: no collective allocates.
typedef struct {
  int size;
  int *counts;            // size
  int *offsets;           // size
  MPI_Request *requests;  // 2 * size
  int *expected;          // size: elements each posted receive waits for
} cmpi_scratch;

/// One message of a cmpi_messages.
typedef struct {
  MPI_Datatype datatype;
  int expected;  // elements to receive; -1 for a message that is sent
  int active;    // started, and not yet seen to be complete
} cmpi_message;

/// Messages that are described once and then sent and received again and again.
typedef struct {
  MPI_Comm comm;
  int capacity;
  int count;
  MPI_Request *requests;  // capacity
  MPI_Status *statuses;   // capacity
  int *indices;           // capacity
  cmpi_message *entries;  // capacity
} cmpi_messages;

// Handles and constants.

static inline MPI_Comm cmpi_world(void) { return MPI_COMM_WORLD; }
static inline int cmpi_thread_funneled(void) { return MPI_THREAD_FUNNELED; }
static inline int cmpi_thread_serialized(void) { return MPI_THREAD_SERIALIZED; }
static inline int cmpi_thread_multiple(void) { return MPI_THREAD_MULTIPLE; }

static inline MPI_Datatype cmpi_datatype(cmpi_type type) {
  switch (type) {
    case CMPI_FLOAT32: return MPI_FLOAT;
    case CMPI_FLOAT64: return MPI_DOUBLE;
    case CMPI_INT32: return MPI_INT32_T;
    case CMPI_INT64: return MPI_INT64_T;
    case CMPI_BYTE: return MPI_BYTE;
    case CMPI_BITS16: return MPI_UINT16_T;
  }
  return MPI_DATATYPE_NULL;
}

static inline size_t cmpi_width(cmpi_type type) {
  switch (type) {
    case CMPI_FLOAT32:
    case CMPI_INT32: return 4;
    case CMPI_FLOAT64:
    case CMPI_INT64: return 8;
    case CMPI_BYTE: return 1;
    case CMPI_BITS16: return 2;
  }
  return 0;
}

static inline MPI_Op cmpi_op(cmpi_operation operation) {
  switch (operation) {
    case CMPI_SUM: return MPI_SUM;
    case CMPI_MAX: return MPI_MAX;
    case CMPI_MIN: return MPI_MIN;
  }
  return MPI_OP_NULL;
}

// The process. (shim.c)

/// Initialises MPI with the highest thread level to be had, unless that was done already, and makes errors return.
/// `owner` receives 1 when this call initialised MPI and so must finalise it.
cmpi_result cmpi_initialize(int *owner, int *thread_level);
cmpi_result cmpi_finalize(void);
/// Ends every rank of the job.
_Noreturn void cmpi_abort(int code);
/// 1 between initialisation and finalisation.
int cmpi_is_running(void);
/// MPI's text for an error code; `text` holds `capacity` bytes, and is always terminated.
void cmpi_error_text(int code, char *text, size_t capacity);
/// The name of this host as MPI knows it.
cmpi_result cmpi_host_name(char *text, size_t capacity);
/// Name and version of the MPI library.
cmpi_result cmpi_library_version(char *text, size_t capacity);
/// Lines reach a terminal behind mpirun's pipe as they are written.
void cmpi_line_buffer_output(void);
void cmpi_flush_output(void);
/// Ends the process with `code` if it is still there after `seconds`.
void cmpi_exit_after(unsigned seconds, int code);

// Communicators.

cmpi_result cmpi_comm_identity(MPI_Comm comm, int *rank, int *size);
cmpi_result cmpi_comm_split_node(MPI_Comm comm, MPI_Comm *node);
cmpi_result cmpi_comm_split(MPI_Comm comm, int color, int key, MPI_Comm *part);
cmpi_result cmpi_comm_duplicate(MPI_Comm comm, MPI_Comm *copy);
cmpi_result cmpi_comm_free(MPI_Comm comm);
/// Rank in MPI_COMM_WORLD of a rank of `comm`.
cmpi_result cmpi_world_rank(MPI_Comm comm, int rank, int *world_rank);

/// NULL when there is no memory.
cmpi_scratch *cmpi_scratch_create(int size);
void cmpi_scratch_destroy(cmpi_scratch *scratch);

// Collectives. `piece`: the most elements one MPI call handles, 1 … INT_MAX, the same on every rank. (collectives.c)

cmpi_result cmpi_barrier(MPI_Comm comm);
/// Waits until every rank of `comm` has called this too, or `milliseconds` have passed; `arrived` says which.
cmpi_result cmpi_barrier_within(MPI_Comm comm, long milliseconds, int *arrived);
cmpi_result cmpi_broadcast(void *buffer, long count, cmpi_type type, int root, MPI_Comm comm, long piece);
cmpi_result cmpi_all_reduce(
    void *buffer, long count, cmpi_type type, cmpi_operation operation, MPI_Comm comm, long piece);
/// Equal counts: `count` elements from each rank, size * count received.
cmpi_result cmpi_all_gather(const void *send, long count, void *receive, cmpi_type type, MPI_Comm comm, long piece);
/// In place where `send` already lies at its offset in `receive`. `counts` must be the same on every rank, and
/// `offsets` too where they span more than INT_MAX elements.
cmpi_result cmpi_all_gather_v(
    const void *send, long count, void *receive, const long *counts, const long *offsets, cmpi_type type, MPI_Comm comm,
    cmpi_scratch *scratch, long piece);
cmpi_result cmpi_all_to_all_v(
    const void *send, const long *send_counts, const long *send_offsets, void *receive, const long *receive_counts,
    const long *receive_offsets, cmpi_type type, MPI_Comm comm, cmpi_scratch *scratch, long piece);
/// `receive`, `counts` and `offsets` are read at the root only.
cmpi_result cmpi_gather_v(
    const void *send, long count, void *receive, const long *counts, const long *offsets, cmpi_type type, int root,
    MPI_Comm comm, long piece);

// Repeated messages. None of the calls but the first three and the last two allocates. (messages.c)

/// NULL when there is no memory.
cmpi_messages *cmpi_messages_create(MPI_Comm comm, int capacity);
/// Describes a message of `count` elements at `source` to rank `target`; it is numbered after those before it.
cmpi_result cmpi_messages_add_send(
    cmpi_messages *messages, const void *source, long count, cmpi_type type, int target, int tag);
cmpi_result cmpi_messages_add_receive(
    cmpi_messages *messages, void *target, long count, cmpi_type type, int source, int tag);
/// Starts the messages `first` … `first + count - 1`, none of which is under way.
cmpi_result cmpi_messages_start(cmpi_messages *messages, int first, int count);
/// Whether all of these that were started are complete; gives MPI the time to move them on. Does not wait.
cmpi_result cmpi_messages_test(cmpi_messages *messages, int first, int count, int *done);
/// Moves all messages on, and takes note of those from `first` on that are complete, with a few calls to MPI however
/// many they are. Does not wait.
cmpi_result cmpi_messages_progress(cmpi_messages *messages, int first, int count);
/// Whether none of these is known to be under way. Does not call MPI.
int cmpi_messages_are_complete(const cmpi_messages *messages, int first, int count);
/// Takes back what was not received, and frees all requests.
cmpi_result cmpi_messages_free(cmpi_messages *messages);
void cmpi_messages_destroy(cmpi_messages *messages);

/// The calling thread keeps its core in calls to MPI that find nothing to do. (yield.c)
void cmpi_keep_core(void);

// Clocks and times between ranks. (clock.c)

/// By how many nanoseconds this rank's monotonic clock is ahead of that of rank 0, from the quickest of `rounds` answers.
/// Collective.
cmpi_result cmpi_clock_offset(MPI_Comm comm, int rounds, long *offset);
/// The shortest time in which this rank and `peer` have sent each other `bytes` bytes, of `rounds`. Both call it.
cmpi_result cmpi_exchange_seconds(
    MPI_Comm comm, int peer, const void *send, void *receive, long bytes, int rounds, double *seconds);

// Shared windows. (window.c)

/// Allocates `bytes` of this rank's memory in a window that all ranks of `node` map, and opens it for loads and stores.
cmpi_result cmpi_window_create(MPI_Comm node, long bytes, MPI_Win *window);
/// Where a rank's memory lies in this process.
cmpi_result cmpi_window_segment(MPI_Win window, int rank, void **base, long *bytes);
cmpi_result cmpi_window_free(MPI_Win window);
/// The folder in which this MPI puts the memory of shared windows.
void cmpi_window_folder(char *path, size_t capacity);
/// Bytes that this user may still allocate in the file system of `folder`; -1 with errno when it cannot be told.
long cmpi_free_bytes(const char *folder);

#endif
