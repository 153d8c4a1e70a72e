/*
 * The probe's guest: a loop in ring 0 of plain, stack and locked memory instructions, which a processor runs at full
 * speed and an emulator one by one. It never leaves by itself.
 */
#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/kernel.h"
#include "vmm/arch/x86_64/regs.h"

#define CODE_ADDR    0x1000ULL
#define COUNTER_ADDR 0x2000ULL
#define LOOP_INSNS   8

static const uint8_t code[] = {
	0xbc, 0x00, 0x30, 0x00, 0x00,                   /* mov $0x3000, %esp */
	0x41,                                           /* 1: inc %ecx */
	0x89, 0x0d, 0x00, 0x20, 0x00, 0x00,             /* mov %ecx, 0x2000 */
	0x01, 0xc8,                                     /* add %ecx, %eax */
	0x31, 0xc3,                                     /* xor %eax, %ebx */
	0x50,                                           /* push %eax */
	0x5a,                                           /* pop %edx */
	0xf0, 0x0f, 0xc1, 0x35, 0x04, 0x20, 0x00, 0x00, /* lock xadd %esi, 0x2004 */
	0xeb, 0xe9,                                     /* jmp 1b */
};

void arch_probe_load(struct gmem *mem, struct arch_entry *entry, struct arch_probe *out)
{
	regs_write_tables(mem, false);
	BUG_ON(!gmem_write(mem, GPA(CODE_ADDR), code, sizeof(code)));
	*entry = (struct arch_entry){.pc = GPA(CODE_ADDR), .protocol = X86_PROTOCOL_LINUX};
	*out = (struct arch_probe){.counter = GPA(COUNTER_ADDR), .insns_per_count = LOOP_INSNS};
}
