/* Time that only passes (CLOCK_MONOTONIC), as numbers: for deadlines, and for what is told to others on the same host. */
#ifndef NACRE_BASE_CLOCK_H
#define NACRE_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_now_ns(void);
uint64_t clock_now_us(void);
uint64_t clock_now_ms(void);

/* What is left until `deadline_ms`, for poll(2): 0 when it has passed, INT_MAX at most. */
int clock_ms_left(uint64_t deadline_ms);

#endif
