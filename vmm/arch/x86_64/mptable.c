/*
 * The floating pointer lies in the first paragraphs of memory, where Linux looks first: elsewhere the search over 64 KiB
 * costs the guest two million instructions.
 */
#include "vmm/arch/x86_64/mptable.h"

#include <string.h>

#include "base/compiler.h"
#include "vmm/arch/x86_64/layout.h"

#define SPEC_REVISION 4 /* 1.4 */

#define LAPIC_VERSION  0x14
#define IOAPIC_VERSION 0x11

#define ENTRY_CPU    0
#define ENTRY_BUS    1
#define ENTRY_IOAPIC 2
#define ENTRY_INT    3
#define ENTRY_LINT   4

#define CPU_ENABLED 0x01
#define CPU_BOOT    0x02

#define INT_VECTORED 0
#define INT_NMI      1
#define INT_EXTINT   3

#define ALL_LAPICS 0xff

struct mp_pointer {
	char signature[4];
	uint32_t table;
	uint8_t paragraphs;
	uint8_t revision;
	uint8_t checksum;
	uint8_t features[5];
} PACKED;
_Static_assert(sizeof(struct mp_pointer) == 16, "MP 1.4, 4.1");

struct mp_header {
	char signature[4];
	uint16_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[8];
	char product[12];
	uint32_t oem_table;
	uint16_t oem_length;
	uint16_t entries;
	uint32_t lapic;
	uint16_t ext_length;
	uint8_t ext_checksum;
	uint8_t reserved;
} PACKED;
_Static_assert(sizeof(struct mp_header) == 44, "MP 1.4, 4.2");

struct mp_cpu {
	uint8_t type;
	uint8_t apic_id;
	uint8_t apic_version;
	uint8_t flags;
	uint32_t signature;
	uint32_t features;
	uint32_t reserved[2];
} PACKED;
_Static_assert(sizeof(struct mp_cpu) == 20, "MP 1.4, 4.3.1");

struct mp_bus {
	uint8_t type;
	uint8_t id;
	char name[6];
} PACKED;
_Static_assert(sizeof(struct mp_bus) == 8, "MP 1.4, 4.3.2");

struct mp_ioapic {
	uint8_t type;
	uint8_t id;
	uint8_t version;
	uint8_t flags;
	uint32_t address;
} PACKED;
_Static_assert(sizeof(struct mp_ioapic) == 8, "MP 1.4, 4.3.3");

/* Of an I/O APIC pin and of a local APIC pin alike. */
struct mp_int {
	uint8_t type;
	uint8_t kind;
	uint16_t flags; /* 0: polarity and trigger of the bus; ISA: active high, edge */
	uint8_t bus;
	uint8_t bus_irq;
	uint8_t apic;
	uint8_t pin;
} PACKED;
_Static_assert(sizeof(struct mp_int) == 8, "MP 1.4, 4.3.4");

#define TABLE_MAX_BYTES                                                                            \
	(sizeof(struct mp_header) + X86_MAX_VCPUS * sizeof(struct mp_cpu) +                        \
	 sizeof(struct mp_bus) + sizeof(struct mp_ioapic) +                                        \
	 (X86_IOAPIC_PINS + 2) * sizeof(struct mp_int))
_Static_assert(TABLE_MAX_BYTES <= X86_MPTABLE_BYTES, "the table fits into its place");

struct table {
	uint8_t bytes[TABLE_MAX_BYTES];
	size_t len;
	uint16_t entries;
};

/* The byte that makes the sum of all bytes zero. */
static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	unsigned int sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	return (uint8_t)(0x100 - (sum & 0xff));
}

static void add(struct table *t, const void *entry, size_t len)
{
	BUG_ON(len > sizeof(t->bytes) - t->len);
	memcpy(t->bytes + t->len, entry, len);
	t->len += len;
	t->entries++;
}

static void add_cpus(struct table *t, uint32_t vcpus)
{
	for (uint32_t i = 0; i < vcpus; i++) {
		struct mp_cpu cpu = {
			.type = ENTRY_CPU,
			.apic_id = (uint8_t)i,
			.apic_version = LAPIC_VERSION,
			.flags = i == 0 ? CPU_ENABLED | CPU_BOOT : CPU_ENABLED,
			.signature = 0x600, /* family 6; kernels ask CPUID */
			.features = 0x201,  /* FPU, APIC */
		};

		add(t, &cpu, sizeof(cpu));
	}
}

static void add_lines(struct table *t, uint32_t irqs)
{
	for (uint8_t pin = 0; pin < X86_IOAPIC_PINS; pin++) {
		struct mp_int irq = {
			.type = ENTRY_INT,
			.kind = INT_VECTORED,
			.bus_irq = pin,
			.apic = X86_IOAPIC_ID,
			.pin = pin,
		};

		if (irqs & 1U << pin)
			add(t, &irq, sizeof(irq));
	}
}

/* A kernel sets up every line that it is told of, at twenty accesses to the I/O APIC and eight files of sysfs each. */
static void add_interrupts(struct table *t, uint32_t irqs)
{
	struct mp_bus bus = {.type = ENTRY_BUS, .id = 0, .name = {'I', 'S', 'A', ' ', ' ', ' '}};
	struct mp_ioapic ioapic = {
		.type = ENTRY_IOAPIC,
		.id = X86_IOAPIC_ID,
		.version = IOAPIC_VERSION,
		.flags = 1, /* enabled */
		.address = (uint32_t)X86_IOAPIC_ADDR,
	};
	struct mp_int extint = {.type = ENTRY_LINT, .kind = INT_EXTINT, .apic = 0, .pin = 0};
	struct mp_int nmi = {.type = ENTRY_LINT, .kind = INT_NMI, .apic = ALL_LAPICS, .pin = 1};

	add(t, &bus, sizeof(bus));
	add(t, &ioapic, sizeof(ioapic));
	add_lines(t, irqs | X86_TIMER_LINE);
	add(t, &extint, sizeof(extint));
	add(t, &nmi, sizeof(nmi));
}

static void finish(struct table *t)
{
	struct mp_header header = {
		.signature = {'P', 'C', 'M', 'P'},
		.length = (uint16_t)t->len,
		.revision = SPEC_REVISION,
		.oem = {'N', 'A', 'C', 'R', 'E', ' ', ' ', ' '},
		.product = {'M', 'I', 'C', 'R', 'O', 'V', 'M', ' ', ' ', ' ', ' ', ' '},
		.entries = t->entries,
		.lapic = (uint32_t)X86_LAPIC_ADDR,
	};

	memcpy(t->bytes, &header, sizeof(header));
	header.checksum = checksum(t->bytes, t->len);
	memcpy(t->bytes, &header, sizeof(header));
}

void mptable_write(struct gmem *mem, uint32_t vcpus, uint32_t irqs)
{
	struct table t = {.len = sizeof(struct mp_header)};
	struct mp_pointer pointer = {
		.signature = {'_', 'M', 'P', '_'},
		.table = (uint32_t)X86_MPTABLE_ADDR,
		.paragraphs = 1,
		.revision = SPEC_REVISION,
	};

	BUG_ON(vcpus == 0 || vcpus > X86_MAX_VCPUS);
	add_cpus(&t, vcpus);
	add_interrupts(&t, irqs);
	finish(&t);
	pointer.checksum = checksum(&pointer, sizeof(pointer));
	BUG_ON(!gmem_write(mem, GPA(X86_MPTABLE_ADDR), t.bytes, t.len));
	BUG_ON(!gmem_write(mem, GPA(X86_MPF_ADDR), &pointer, sizeof(pointer)));
}
