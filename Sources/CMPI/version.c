#include "internal.h"

#include <stdio.h>

cmpi_result cmpi_library_version(char *text, size_t capacity) {
  char buffer[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  CMPI_TRY(MPI_Get_library_version, buffer, &length);
  snprintf(text, capacity, "%.*s", length, buffer);
  return cmpi_ok();
}
