# The smallest guest that shows a boot: PVH entry, a line on the UART, a reset by the i8042.
	.section .note.Xen, "a", @note
	.long 4, 4, 18			# name, description, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	cmpl $0x336ec578, (%ebx)	# hvm_start_info magic
	jne fault
	movl $message, %esi
	movw $0x3f8, %dx
next:
	lodsb
	testb %al, %al
	jz reset
	outb %al, %dx
	jmp next
reset:
	movb $0xfe, %al
	outb %al, $0x64
wait:
	hlt
	jmp wait
fault:
	lidt zero			# an empty IDT and an exception: triple fault
	int3

	.section .rodata
zero:
	.long 0, 0
message:
	.asciz "hello from ring 0\n"
