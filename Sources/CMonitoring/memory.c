#define _GNU_SOURCE
#include "CMonitoring.h"

#include <errno.h>
#include <sys/uio.h>

int fw_read_memory(int process, unsigned long address) {
  char byte = 0;
  struct iovec here = {&byte, 1}, there = {(void *)address, 1};
  return process_vm_readv(process, &here, 1, &there, 1, 0) == 1 ? 0 : errno;
}
