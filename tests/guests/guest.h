/*
 * What every hostile guest stands on: a console, a random number, memory-mapped registers and a second vCPU. There is no
 * operating system: identity-mapped memory of 32 MiB, no interrupts; everything is polled, for a bounded time.
 */
#ifndef NACRE_TESTS_GUEST_H
#define NACRE_TESTS_GUEST_H

#define TRAMPOLINE                                                                                 \
	0x8000 /* where a second vCPU starts: a page below 1 MiB that the vmm leaves alone */

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

#define GUEST_RAM_BYTES 0x2000000U /* 32 MiB: tests/guests/run says -m 32 */

static inline uint32_t reg_read(uint32_t addr)
{
	return *(volatile uint32_t *)(uintptr_t)addr;
}

static inline void reg_write(uint32_t addr, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)addr = value;
}

static inline void port_write(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t port_read(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void barrier(void)
{
	__asm__ volatile("" : : : "memory");
}

void say(const char *text);
void say_number(uint32_t number);
/* The same numbers in every run: a finding can be looked at again. */
uint32_t random_number(void);
void copy(void *to, const void *from, size_t n);
void fill(void *to, uint8_t byte, size_t n);

/* Runs `work` on the second vCPU until it returns; it looks at *cpu_stop_wanted() itself. */
void cpu_start(void (*work)(void));
volatile uint32_t *cpu_stop_wanted(void);
/* Asks it to stop and waits. */
void cpu_stop(void);

#endif /* __ASSEMBLER__ */

#endif
