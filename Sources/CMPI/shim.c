// The process and its communicators.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

cmpi_result cmpi_initialize(int *owner, int *thread_level) {
  int initialized = 0;
  *owner = 0;
  CMPI_TRY(MPI_Initialized, &initialized);
  if (initialized) {
    CMPI_TRY(MPI_Query_thread, thread_level);
  } else {
    CMPI_TRY(MPI_Init_thread, NULL, NULL, MPI_THREAD_MULTIPLE, thread_level);
    *owner = 1;
  }
  // New communicators inherit the handler of the one they are made from.
  CMPI_TRY(MPI_Comm_set_errhandler, MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  CMPI_TRY(MPI_Comm_set_errhandler, MPI_COMM_SELF, MPI_ERRORS_RETURN);
  return cmpi_ok();
}

cmpi_result cmpi_finalize(void) {
  CMPI_TRY(MPI_Finalize);
  return cmpi_ok();
}

void cmpi_abort(int code) {
  fflush(NULL);
  if (cmpi_is_running()) MPI_Abort(MPI_COMM_WORLD, code);
  _exit(code);
}

int cmpi_is_running(void) {
  int initialized = 0, finalized = 0;
  return MPI_Initialized(&initialized) == MPI_SUCCESS && initialized && MPI_Finalized(&finalized) == MPI_SUCCESS &&
         !finalized;
}

void cmpi_error_text(int code, char *text, size_t capacity) {
  char buffer[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (!cmpi_is_running() || MPI_Error_string(code, buffer, &length) != MPI_SUCCESS) {
    snprintf(text, capacity, "MPI error code %d", code);
  } else {
    snprintf(text, capacity, "%.*s", length, buffer);
  }
}

cmpi_result cmpi_host_name(char *text, size_t capacity) {
  char buffer[MPI_MAX_PROCESSOR_NAME];
  int length = 0;
  CMPI_TRY(MPI_Get_processor_name, buffer, &length);
  snprintf(text, capacity, "%.*s", length, buffer);
  return cmpi_ok();
}

cmpi_result cmpi_library_version(char *text, size_t capacity) {
  char buffer[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  CMPI_TRY(MPI_Get_library_version, buffer, &length);
  snprintf(text, capacity, "%.*s", length, buffer);
  return cmpi_ok();
}

void cmpi_line_buffer_output(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

void cmpi_flush_output(void) { fflush(NULL); }

static volatile sig_atomic_t late_exit_code = 1;

static void exit_late(int signal) {
  (void)signal;
  _exit(late_exit_code);
}

void cmpi_exit_after(unsigned seconds, int code) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = exit_late;
  late_exit_code = code;
  if (sigaction(SIGALRM, &action, NULL) == 0) alarm(seconds);
}

cmpi_result cmpi_comm_identity(MPI_Comm comm, int *rank, int *size) {
  CMPI_TRY(MPI_Comm_rank, comm, rank);
  CMPI_TRY(MPI_Comm_size, comm, size);
  return cmpi_ok();
}

cmpi_result cmpi_comm_split_node(MPI_Comm comm, MPI_Comm *node) {
  // Key 0 on every rank: ranks keep their order.
  CMPI_TRY(MPI_Comm_split_type, comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, node);
  return cmpi_ok();
}

cmpi_result cmpi_comm_split(MPI_Comm comm, int color, int key, MPI_Comm *part) {
  CMPI_TRY(MPI_Comm_split, comm, color, key, part);
  return cmpi_ok();
}

cmpi_result cmpi_comm_duplicate(MPI_Comm comm, MPI_Comm *copy) {
  CMPI_TRY(MPI_Comm_dup, comm, copy);
  return cmpi_ok();
}

cmpi_result cmpi_comm_free(MPI_Comm comm) {
  CMPI_TRY(MPI_Comm_free, &comm);
  return cmpi_ok();
}

cmpi_result cmpi_world_rank(MPI_Comm comm, int rank, int *world_rank) {
  MPI_Group group, world;
  CMPI_TRY(MPI_Comm_group, comm, &group);
  CMPI_TRY(MPI_Comm_group, MPI_COMM_WORLD, &world);
  CMPI_TRY(MPI_Group_translate_ranks, group, 1, &rank, world, world_rank);
  CMPI_TRY(MPI_Group_free, &group);
  CMPI_TRY(MPI_Group_free, &world);
  return cmpi_ok();
}

cmpi_scratch *cmpi_scratch_create(int size) {
  cmpi_scratch *scratch = calloc(1, sizeof *scratch);
  if (!scratch) return NULL;
  scratch->size = size;
  scratch->counts = calloc((size_t)size, sizeof *scratch->counts);
  scratch->offsets = calloc((size_t)size, sizeof *scratch->offsets);
  scratch->requests = calloc(2 * (size_t)size, sizeof *scratch->requests);
  scratch->expected = calloc((size_t)size, sizeof *scratch->expected);
  if (!scratch->counts || !scratch->offsets || !scratch->requests || !scratch->expected) {
    cmpi_scratch_destroy(scratch);
    return NULL;
  }
  return scratch;
}

void cmpi_scratch_destroy(cmpi_scratch *scratch) {
  if (!scratch) return;
  free(scratch->counts);
  free(scratch->offsets);
  free(scratch->requests);
  free(scratch->expected);
  free(scratch);
}
