# How a hostile guest starts: by PVH in 32-bit protected mode without paging (the boot ABI's flat segments), on a stack of its
# own. A second vCPU, woken by INIT and SIPI, comes through the trampoline from real mode into the same world.
#include "guest.h"

	.section .note.Xen, "a", @note
	.long 4, 4, 18			# name, description, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	lgdt gdt_pointer
	movl $stack_end, %esp
	pushl %ebx			# hvm_start_info
	call guest_main
end:					# the keyboard controller's reset line
	movb $0xfe, %al
	outb %al, $0x64
	jmp end

	# Copied below 1 MiB by cpu_start: position matters to none of it but the two absolute jumps.
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl TRAMPOLINE + (small_gdt_pointer - trampoline)
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $8, $second_cpu
	.balign 4
small_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	.code32
second_cpu:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $second_stack_end, %esp
	call cpu_main
1:	hlt
	jmp 1b

	.section .rodata
	.balign 8
gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt

	.bss
	.balign 16
	.skip 16384
stack_end:
	.skip 16384
second_stack_end:

	.section .note.GNU-stack, "", @progbits
