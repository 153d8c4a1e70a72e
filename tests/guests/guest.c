/* The ground of tests/guests/guest.h. */
#include "guest.h"

#define UART       0x3f8
#define LAPIC_ICR  0xfee00300U
#define LAPIC_ICR2 0xfee00310U
#define ICR_INIT   0x4500U
#define ICR_SIPI   0x4600U

extern const uint8_t trampoline[], trampoline_end[];
void cpu_main(void);

static void (*volatile cpu_work)(void);
static volatile uint32_t cpu_stopping;

void say(const char *text)
{
	while (*text)
		port_write(UART, (uint8_t)*text++);
}

void say_number(uint32_t number)
{
	char digits[11];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	say(digits + at);
}

uint32_t random_number(void)
{
	static uint32_t state = 1;

	state = state * 1664525U + 1013904223U;
	return state >> 8;
}

/* String instructions: where ring 0 is emulated, one of them is one step. */
void copy(void *to, const void *from, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

void fill(void *to, uint8_t byte, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
}

/* The second vCPU's life: one piece of work after the other. */
void cpu_main(void)
{
	for (;;) {
		while (!cpu_work)
			barrier();
		cpu_work();
		cpu_work = NULL;
	}
}

static void wake_second_cpu(void)
{
	copy((void *)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	reg_write(LAPIC_ICR2, 1U << 24);
	reg_write(LAPIC_ICR, ICR_INIT);
	for (volatile uint32_t i = 0; i < 2000; i++)
		barrier();
	reg_write(LAPIC_ICR2, 1U << 24);
	reg_write(LAPIC_ICR, ICR_SIPI | TRAMPOLINE >> 12);
}

void cpu_start(void (*work)(void))
{
	static uint32_t awake;

	cpu_stopping = 0;
	cpu_work = work;
	if (!awake)
		wake_second_cpu();
	awake = 1;
}

volatile uint32_t *cpu_stop_wanted(void)
{
	return &cpu_stopping;
}

void cpu_stop(void)
{
	cpu_stopping = 1;
	while (cpu_work)
		barrier();
}
