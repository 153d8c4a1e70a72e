/*
 * The x86_64 guest's physical address map and interrupt lines.
 *
 *	0x0000_0000  +-----------------------------+
 *	             | MP floating pointer  0x10   |  first place a kernel looks
 *	             | GDT                  0x500  |
 *	             | hvm_start_info       0x6000 |  PVH
 *	             | boot_params          0x7000 |  Linux, with setup_data and its seed behind
 *	             | page tables          0x9000 |  64-bit entry: the first 4 GiB as they are
 *	             | command line        0x20000 |
 *	             | RAM                         |
 *	0x0009_e000  | MP table, reserved          |
 *	0x0010_0000  | RAM: kernel ... initramfs   |  the initramfs ends where low RAM does
 *	             +-----------------------------+  low end: all of RAM, or 3 GiB
 *	             | hole                        |
 *	0xd000_0000  | virtio-mmio, 4 KiB a slot   |  the rest is kept for PCI and DAX
 *	0xfec0_0000  | I/O APIC (KVM)              |
 *	0xfee0_0000  | local APICs (KVM)           |
 *	0xfffb_c000  | identity map, TSS (KVM)     |  real mode on old Intel processors
 *	0x1_0000_0000+-----------------------------+
 *	             | RAM beyond 3 GiB            |
 *	             +-----------------------------+
 *
 *	IRQ 0 PIT, 2 cascade, 4 UART, 5 to 23 virtio slots in order; slots behind the 19th share lines, from 23 downwards
 *
 * Linux is told of each slot by 36 bytes of its command line, which has 2 KiB: some 50 slots with the usual parameters.
 */
#ifndef NACRE_VMM_ARCH_X86_64_LAYOUT_H
#define NACRE_VMM_ARCH_X86_64_LAYOUT_H

#define X86_MPF_ADDR         0x10ULL
#define X86_GDT_ADDR         0x500ULL
#define X86_START_INFO_ADDR  0x6000ULL
#define X86_BOOT_PARAMS_ADDR 0x7000ULL
#define X86_SETUP_DATA_ADDR  0x8000ULL
#define X86_PAGE_TABLES_ADDR 0x9000ULL /* PML4, PDPT, four PDs */
#define X86_CMDLINE_ADDR     0x20000ULL
#define X86_MPTABLE_ADDR     0x9e000ULL
#define X86_MPTABLE_BYTES    0x2000ULL
#define X86_HIGH_RAM_ADDR    0x100000ULL
#define X86_HOLE_ADDR        0xc0000000ULL
#define X86_HOLE_END         0x100000000ULL

#define X86_VIRTIO_ADDR       0xd0000000ULL
#define X86_VIRTIO_SLOT_BYTES 0x1000ULL
#define X86_VIRTIO_SLOTS      64U
#define X86_VIRTIO_IRQ        5U
#define X86_VIRTIO_LINES      19U /* what the I/O APIC has free: 5 to 23 */
#define X86_IOAPIC_PINS       24U
#define X86_TIMER_LINE        1U /* bit 0: the PIT's */

#define X86_IOAPIC_ADDR   0xfec00000ULL
#define X86_LAPIC_ADDR    0xfee00000ULL
#define X86_IDENTITY_ADDR 0xfffbc000ULL
#define X86_TSS_ADDR      0xfffbd000ULL

#define X86_UART_PORT 0x3f8U
#define X86_UART_IRQ  4U

/* 8-bit APIC ids of the MP table: 0 to 253 for vCPUs, 254 for the I/O APIC, 255 is broadcast. */
#define X86_MAX_VCPUS 254U
#define X86_IOAPIC_ID 254U

#endif
