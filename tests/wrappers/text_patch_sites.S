// System-call sites of each shape, each in a function that loads every register and the red zone
// from one MachineState (text_patch_test.cc) and stores them into another: void probe(const
// MachineState*, MachineState*).

#define SHOWN 112
#define VECTORS 120
#define RED_ZONE 376

        .text

.macro PROBE name
        .globl \name
        .type \name, @function
        .p2align 4
\name:
        .cfi_startproc
        .irp register, rbx, rbp, r12, r13, r14, r15, rsi
        push %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endr
        mov %rdi, %rax
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        mov RED_ZONE+8*\n(%rax), %rcx
        mov %rcx, -128+8*\n(%rsp)
        movups VECTORS+16*\n(%rax), %xmm\n
        .endr
        mov 8(%rax), %rdi
        mov 16(%rax), %rsi
        mov 24(%rax), %rdx
        mov 32(%rax), %r10
        mov 40(%rax), %r8
        mov 48(%rax), %r9
        mov 56(%rax), %rbx
        mov 64(%rax), %rbp
        mov 72(%rax), %r12
        mov 80(%rax), %r13
        mov 88(%rax), %r14
        mov 96(%rax), %r15
        mov 0(%rax), %rax
.endm

// r11 is stored as what the probe itself has to show.
.macro END name
        mov (%rsp), %rcx
        mov %rax, 0(%rcx)
        mov %rdi, 8(%rcx)
        mov %rsi, 16(%rcx)
        mov %rdx, 24(%rcx)
        mov %r10, 32(%rcx)
        mov %r8, 40(%rcx)
        mov %r9, 48(%rcx)
        mov %rbx, 56(%rcx)
        mov %rbp, 64(%rcx)
        mov %r12, 72(%rcx)
        mov %r13, 80(%rcx)
        mov %r14, 88(%rcx)
        mov %r15, 96(%rcx)
        mov %rsp, 104(%rcx)
        mov %r11, SHOWN(%rcx)
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        mov -128+8*\n(%rsp), %rax
        mov %rax, RED_ZONE+8*\n(%rcx)
        movups %xmm\n, VECTORS+16*\n(%rcx)
        .endr
        .irp register, rsi, r15, r14, r13, r12, rbp, rbx
        pop %\register
        .cfi_adjust_cfa_offset -8
        .endr
        ret
        .cfi_endproc
        .size \name, . - \name
.endm

        .p2align 12
        .globl probes_begin
probes_begin:

PROBE before_adjacent
        mov $39, %eax
        syscall
        mov $1, %r11d
END before_adjacent

PROBE before_wide
        mov $39, %rax
        syscall
        mov $1, %r11d
END before_wide

PROBE before_registers
        mov $39, %eax
        xor $0x81, %sil
        syscall
        mov $1, %r11d
END before_registers

PROBE before_flags
        test %r8d, %r8d
        setne %r9b
        mov $39, %eax
        movzbl %r9b, %edx
        shl $7, %edx
        syscall
        mov $1, %r11d
END before_flags

PROBE before_memory
        mov $39, %eax
        mov 8(%rsp), %rdx
        movl $0x1234, -8(%rsp)
        syscall
        mov $1, %r11d
END before_memory

PROBE before_data
        mov $39, %eax
        lea probe_data(%rip), %rsi
        syscall
        mov $1, %r11d
END before_data

PROBE before_data_and_constant
        mov $39, %eax
        movl $0x5678, probe_data(%rip)
        syscall
        mov probe_data(%rip), %r11
END before_data_and_constant

PROBE before_vectors
        movups %xmm3, -16(%rsp)
        mov $39, %eax
        movups %xmm4, -32(%rsp)
        syscall
        mov $1, %r11d
END before_vectors

PROBE over_register
        jmp 1f
1:      mov %r9d, %eax
        syscall
        mov $1, %r11d
END over_register

PROBE over_two
        jmp 1f
1:      xor %edi, %edi
        mov %edx, %eax
        syscall
        mov $1, %r11d
END over_two

PROBE behind_compare
        jmp 1f
1:      xor %eax, %eax
        syscall
        cmp $-4096, %rax
        ja 2f
        mov $1, %r11d
        jmp 3f
2:      mov $2, %r11d
3:      nop
END behind_compare

PROBE behind_alone
        mov %r9d, %eax
        jmp 1f
1:      syscall
        lea probe_data(%rip), %rdx
        mov $1, %r11d
END behind_alone

// An unwinder that looked at the instruction before the site would find another frame.
PROBE behind_new_frame
        mov %r9d, %eax
        lea -256(%rsp), %rsp
        .cfi_adjust_cfa_offset 256
        syscall
        mov %rax, %rdx
        lea 256(%rsp), %rsp
        .cfi_adjust_cfa_offset -256
        mov $1, %r11d
END behind_new_frame

// An unwinder needs the site's rbp.
PROBE before_frame_pointer
        mov %rsp, %rbp
        .cfi_def_cfa_register %rbp
        mov $39, %eax
        syscall
        mov $1, %r11d
        .cfi_def_cfa_register %rsp
END before_frame_pointer

// Refused: a jump past the loading of the number.
PROBE refused_jump_to_call
        mov $39, %eax
        test %r8, %r8
        jne 1f
        mov $39, %eax
1:      syscall
        jmp 2f
2:      mov $1, %r11d
END refused_jump_to_call

// Refused: a jump into what would be overwritten behind the call.
PROBE refused_jump_behind
        jmp 1f
1:      xor %eax, %eax
        syscall
2:      test %r8, %r8
        js 2b
        mov $1, %r11d
END refused_jump_behind

// Refused: instructions that are not on the list.
PROBE refused_instruction
        mov $39, %eax
        lock incq -8(%rsp)
        syscall
        jmp 2f
2:      mov $1, %r11d
END refused_instruction

PROBE refused_stack
        mov $39, %eax
        sub $128, %rsp
        syscall
        lea 128(%rsp), %rsp
        mov $1, %r11d
END refused_stack

// 41 b8 is not `mov $nr, %eax` but `mov $nr, %r8d`: the window begins at the prefix, and the
// number is not seen.
PROBE before_other_register
        mov %r9d, %eax
        mov $39, %r8d
        syscall
        mov $1, %r11d
END before_other_register

PROBE skipped
        mov $110, %eax
        syscall
        mov $1, %r11d
END skipped

// Not run.
        .globl restorer
        .type restorer, @function
restorer:
        mov $15, %rax
        syscall
        .size restorer, . - restorer

// Not run; the first byte is not an instruction.
        .globl unreadable
        .type unreadable, @function
unreadable:
        .byte 0x06
        mov $39, %eax
        syscall
        ret
        .size unreadable, . - unreadable

        .globl probes_end
probes_end:
        .p2align 12

// The instruction between the two sites is copied for the first, so the second has to do without
// it.
        .globl pair_begin
pair_begin:
PROBE pair_of_sites
        jmp 1f
1:      xor %eax, %eax
        syscall
        mov %r9d, %eax
        syscall
        mov $1, %r11d
END pair_of_sites
        .globl pair_end
pair_end:
        .p2align 12

// Where a clone's child starts: exits with 42 if every register is as the test made it and the GS
// base is 0.
        .globl child_starts_here
child_starts_here:
        test %rax, %rax
        jnz 9f
        .macro CHECK register, value
        cmp $\value, %\register
        jne 9f
        .endm
        CHECK rdi, 0x1001
        CHECK rsi, 0x1002
        CHECK rdx, 0x1003
        CHECK r10, 0x1004
        CHECK r8, 0x1005
        CHECK r9, 0x1006
        CHECK rbx, 0x1007
        CHECK rbp, 0x1008
        CHECK r12, 0x1009
        CHECK r13, 0x100a
        CHECK r14, 0x100b
        cmp %r15, %rsp
        jne 9f
        sub $128, %rsp
        mov $158, %eax              // arch_prctl(ARCH_GET_GS)
        mov $0x1004, %edi
        mov %rsp, %rsi
        syscall
        cmpq $0, (%rsp)
        jne 9f
        mov $42, %edi
        mov $60, %eax
        syscall
9:      mov $1, %edi
        mov $60, %eax
        syscall

        .data
        .p2align 3
        .globl probe_data
probe_data:
        .quad 0x1122334455667788

        .section .note.GNU-stack, "", @progbits
