// Windows of memory that all ranks of a node share.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "internal.h"

cmpi_result cmpi_window_create(MPI_Comm node, long bytes, MPI_Win *window) {
  MPI_Info info;
  void *base = NULL;
  CMPI_TRY(MPI_Info_create, &info);
  // Without this the ranks' segments follow each other byte by byte, and neighbours share a page and a cache line.
  CMPI_TRY(MPI_Info_set, info, "alloc_shared_noncontig", "true");
  CMPI_TRY(MPI_Win_allocate_shared, (MPI_Aint)bytes, 1, info, node, &base, window);
  CMPI_TRY(MPI_Info_free, &info);
  CMPI_TRY(MPI_Win_set_errhandler, *window, MPI_ERRORS_RETURN);
  // Loads and stores are legal only within an access epoch; one that lasts as long as the window costs nothing.
  CMPI_TRY(MPI_Win_lock_all, MPI_MODE_NOCHECK, *window);
  return cmpi_ok();
}

cmpi_result cmpi_window_segment(MPI_Win window, int rank, void **base, long *bytes) {
  MPI_Aint size = 0;
  int unit = 0;
  CMPI_TRY(MPI_Win_shared_query, window, rank, &size, &unit, base);
  *bytes = (long)size;
  return cmpi_ok();
}

cmpi_result cmpi_window_free(MPI_Win window) {
  CMPI_TRY(MPI_Win_unlock_all, window);
  CMPI_TRY(MPI_Win_free, &window);
  return cmpi_ok();
}

/// Reads a control variable of the MPI library that holds text; 0 when there is none of that name.
static int read_text_variable(const char *name, char *text, size_t capacity) {
  int level = 0, index = 0, length = 0, found = 0;
  MPI_T_cvar_handle handle;
  if (MPI_T_init_thread(MPI_THREAD_SINGLE, &level) != MPI_SUCCESS) return 0;
  if (MPI_T_cvar_get_index(name, &index) == MPI_SUCCESS &&
      MPI_T_cvar_handle_alloc(index, NULL, &handle, &length) == MPI_SUCCESS) {
    char *value = length > 0 ? calloc(1, (size_t)length + 1) : NULL;
    if (value && MPI_T_cvar_read(handle, value) == MPI_SUCCESS && value[0] != '\0') {
      snprintf(text, capacity, "%s", value);
      found = 1;
    }
    free(value);
    MPI_T_cvar_handle_free(&handle);
  }
  MPI_T_finalize();
  return found;
}

void cmpi_window_folder(char *path, size_t capacity) {
  // Open MPI 4's name for it, which holds what mpirun flags, environment and files have made of the default. Other
  // versions and libraries use /dev/shm.
  if (!read_text_variable("osc_sm_backing_directory", path, capacity)) snprintf(path, capacity, "/dev/shm");
}

long cmpi_free_bytes(const char *folder) {
  struct statvfs status;
  int code;
  do code = statvfs(folder, &status);
  while (code != 0 && errno == EINTR);
  return code == 0 ? (long)(status.f_bavail * status.f_frsize) : -1;
}
