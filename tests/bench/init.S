/*
 * The guest's init for the measurements. Without arguments it ends the guest at once; "-- hold" on the kernel's command
 * line makes it say so on the console and stay. No library: what is measured is the machine.
 */
#include <asm/unistd_64.h>

#define STDOUT   1
#define MAGIC1   0xfee1dead /* linux/reboot.h */
#define MAGIC2   672274793
#define RESTART  0x01234567

	.globl _start
_start:
	cmpq	$1, (%rsp)
	jne	hold
	mov	$__NR_reboot, %eax
	mov	$MAGIC1, %edi
	mov	$MAGIC2, %esi
	mov	$RESTART, %edx
	syscall
hold:
	mov	$__NR_write, %eax
	mov	$STDOUT, %edi
	lea	word(%rip), %rsi
	mov	$(end - word), %edx
	syscall
stay:
	mov	$__NR_pause, %eax
	syscall
	jmp	stay

	.section .rodata
word:
	.ascii	"held\n"
end:
	.section .note.GNU-stack, "", @progbits
