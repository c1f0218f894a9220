#pragma once

/// Tells the processor that this is a spin-wait loop, so that it saves power and leaves execution slots to a sibling
/// thread.
static inline void fw_cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}
