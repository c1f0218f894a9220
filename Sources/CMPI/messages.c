// Messages that are sent and received again and again between the same places: persistent requests, so that a step
// neither allocates nor describes anything.
#include <limits.h>
#include <stdlib.h>

#include "internal.h"

cmpi_messages *cmpi_messages_create(MPI_Comm comm, int capacity) {
  cmpi_messages *messages = calloc(1, sizeof *messages);
  if (!messages) return NULL;
  const size_t room = capacity > 0 ? (size_t)capacity : 1;
  messages->comm = comm;
  messages->capacity = capacity;
  messages->requests = calloc(room, sizeof *messages->requests);
  messages->statuses = calloc(room, sizeof *messages->statuses);
  messages->indices = calloc(room, sizeof *messages->indices);
  messages->entries = calloc(room, sizeof *messages->entries);
  if (!messages->requests || !messages->statuses || !messages->indices || !messages->entries) {
    cmpi_messages_destroy(messages);
    return NULL;
  }
  return messages;
}

void cmpi_messages_destroy(cmpi_messages *messages) {
  if (!messages) return;
  free(messages->requests);
  free(messages->statuses);
  free(messages->indices);
  free(messages->entries);
  free(messages);
}

cmpi_result cmpi_messages_add_send(
    cmpi_messages *messages, const void *source, long count, cmpi_type type, int target, int tag) {
  CMPI_REQUIRE(messages->count < messages->capacity, MPI_ERR_ARG, MPI_Send_init);
  CMPI_REQUIRE(count >= 0 && count <= INT_MAX, MPI_ERR_COUNT, MPI_Send_init);
  MPI_Request *request = &messages->requests[messages->count];
  CMPI_TRY(MPI_Send_init, source, (int)count, cmpi_datatype(type), target, tag, messages->comm, request);
  messages->entries[messages->count++] = (cmpi_message){.datatype = cmpi_datatype(type), .expected = -1};
  return cmpi_ok();
}

cmpi_result cmpi_messages_add_receive(
    cmpi_messages *messages, void *target, long count, cmpi_type type, int source, int tag) {
  CMPI_REQUIRE(messages->count < messages->capacity, MPI_ERR_ARG, MPI_Recv_init);
  CMPI_REQUIRE(count >= 0 && count <= INT_MAX, MPI_ERR_COUNT, MPI_Recv_init);
  MPI_Request *request = &messages->requests[messages->count];
  CMPI_TRY(MPI_Recv_init, target, (int)count, cmpi_datatype(type), source, tag, messages->comm, request);
  messages->entries[messages->count++] = (cmpi_message){.datatype = cmpi_datatype(type), .expected = (int)count};
  return cmpi_ok();
}

cmpi_result cmpi_messages_start(cmpi_messages *messages, int first, int count) {
  CMPI_REQUIRE(first >= 0 && count >= 0 && first + count <= messages->count, MPI_ERR_ARG, MPI_Startall);
  if (count == 0) return cmpi_ok();
  CMPI_TRY(MPI_Startall, count, messages->requests + first);
  for (int i = first; i < first + count; i++) messages->entries[i].active = 1;
  return cmpi_ok();
}

/// Takes note that a message is complete. MPI itself only refuses messages that are too long.
static cmpi_result finish(cmpi_message *entry, const MPI_Status *status) {
  int elements = 0;
  const int was_active = entry->active;
  entry->active = 0;
  if (!was_active || entry->expected < 0) return cmpi_ok();
  CMPI_TRY(MPI_Get_count, status, entry->datatype, &elements);
  CMPI_REQUIRE(elements == entry->expected, MPI_ERR_COUNT, MPI_Recv_init);
  return cmpi_ok();
}

/// The error of the first of some messages that has one.
static cmpi_result first_error(const MPI_Status *statuses, int count, const char *call) {
  for (int i = 0; i < count; i++) {
    const int error = statuses[i].MPI_ERROR;
    if (error != MPI_SUCCESS && error != MPI_ERR_PENDING) return (cmpi_result){error, call};
  }
  return (cmpi_result){MPI_ERR_IN_STATUS, call};
}

cmpi_result cmpi_messages_progress(cmpi_messages *messages, int first, int count) {
  CMPI_REQUIRE(first >= 0 && count >= 0 && first + count <= messages->count, MPI_ERR_ARG, MPI_Testsome);
  if (count == 0) return cmpi_ok();
  // Open MPI looks at its sockets in every eighth call only, so that calls in a row cost shared memory little. Whoever
  // sleeps between calls must make eight of them for one such look.
  enum { CALLS = 8 };
  for (int call = 0; call < CALLS; call++) {
    int done = 0;
    const int code = MPI_Testsome(count, messages->requests + first, &done, messages->indices, messages->statuses);
    if (code == MPI_ERR_IN_STATUS) return first_error(messages->statuses, done, "MPI_Testsome");
    if (code != MPI_SUCCESS) return (cmpi_result){code, "MPI_Testsome"};
    // Nothing is under way.
    if (done == MPI_UNDEFINED) return cmpi_ok();
    for (int i = 0; i < done; i++) {
      const cmpi_result result = finish(&messages->entries[first + messages->indices[i]], &messages->statuses[i]);
      if (result.code != MPI_SUCCESS) return result;
    }
  }
  return cmpi_ok();
}

int cmpi_messages_are_complete(const cmpi_messages *messages, int first, int count) {
  for (int i = first; i < first + count && i < messages->count; i++) {
    if (messages->entries[i].active) return 0;
  }
  return 1;
}

cmpi_result cmpi_messages_test(cmpi_messages *messages, int first, int count, int *done) {
  CMPI_REQUIRE(first >= 0 && count >= 0 && first + count <= messages->count, MPI_ERR_ARG, MPI_Testall);
  *done = 1;
  if (count == 0) return cmpi_ok();
  const int code = MPI_Testall(count, messages->requests + first, done, messages->statuses + first);
  if (code == MPI_ERR_IN_STATUS) return first_error(messages->statuses + first, count, "MPI_Testall");
  if (code != MPI_SUCCESS) return (cmpi_result){code, "MPI_Testall"};
  if (!*done) return cmpi_ok();
  for (int i = first; i < first + count; i++) {
    const cmpi_result result = finish(&messages->entries[i], &messages->statuses[i]);
    if (result.code != MPI_SUCCESS) return result;
  }
  return cmpi_ok();
}

cmpi_result cmpi_messages_free(cmpi_messages *messages) {
  for (int i = 0; i < messages->count; i++) {
    cmpi_message *entry = &messages->entries[i];
    if (entry->active && entry->expected >= 0) {
      // Nobody sends it any more; the memory it would be written to is about to go.
      CMPI_TRY(MPI_Cancel, &messages->requests[i]);
      CMPI_TRY(MPI_Wait, &messages->requests[i], MPI_STATUS_IGNORE);
    }
    entry->active = 0;
    CMPI_TRY(MPI_Request_free, &messages->requests[i]);
  }
  messages->count = 0;
  return cmpi_ok();
}
