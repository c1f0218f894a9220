#define _GNU_SOURCE
#include "CMonitoring.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

int fw_read_memory(int process, unsigned long address) {
  char byte = 0;
  struct iovec here = {&byte, 1}, there = {(void *)address, 1};
  return process_vm_readv(process, &here, 1, &there, 1, 0) == 1 ? 0 : errno;
}

unsigned long fw_fingerprint(const void *bytes, long count) {
  unsigned long hash = 0xcbf29ce484222325UL;
  for (long done = 0; done < count; done += 8) {
    unsigned long word = 0;
    memcpy(&word, (const char *)bytes + done, count - done < 8 ? (size_t)(count - done) : 8);
    hash = (hash ^ word) * 0x100000001b3UL;
  }
  return hash;
}
