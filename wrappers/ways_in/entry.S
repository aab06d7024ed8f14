// The way from a stub in patched text to bobbin_enter_from_text and back, and the ways a clone's
// child starts.
//
// Offsets in Registers (wrappers/registers.h).
#define RAX 0
#define RDI 8
#define RSI 16
#define RDX 24
#define R10 32
#define R8 40
#define R9 48
#define RBX 56
#define RBP 64
#define R12 72
#define R13 80
#define R14 88
#define R15 96
#define RSP 104
#define RIP 112
// Behind it in the frame of bobbin_text_entry: the address of the site, for unwinders.
#define SITE 120
#define REGISTERS_AND_SITE 128
#define RED_ZONE 128
#define FRAME (RED_ZONE + REGISTERS_AND_SITE)
#define PASS_FRAME (RED_ZONE + 16)
#define PASSED_NUMBERS 512
#define VECTORS (16 * 16)

// Parts of the processor state (Intel SDM volume 1, 13.1): x87, SSE, AVX, opmask, ZMM_Hi256,
// Hi16_ZMM. The rest belongs to the kernel thread (PKRU) or to nobody across a system call.
#define SAVED_PARTS 0xe7
#define WIDE_PARTS 0xe4
#define ABOVE_AVX 0xe0
// Compacted: 512 + 64 + 256 + 64 + 512 + 1024, and as aligned.
#define XSAVE_BYTES 2496
#define XSAVE_HEADER 512

#define SYS_arch_prctl 158
#define ARCH_SET_GS 0x1001

        .text

// How both entries begin: makes a call of bobbin_passed_directly and continues behind it. The kernel
// keeps all registers, vectors too, so there is nothing to save.
        .macro PASS_DIRECTLY
        .cfi_signal_frame
        .cfi_def_cfa %rsp, 0
        .cfi_register %rip, %r11
        cmpq $PASSED_NUMBERS, %rax
        jae 9f
        leaq -PASS_FRAME(%rsp), %rsp
        .cfi_adjust_cfa_offset PASS_FRAME
        movq %r11, (%rsp)
        .cfi_rel_offset %rip, 0
        movq %rcx, 8(%rsp)
        leaq bobbin_passed_directly(%rip), %rcx
        cmpb $0, (%rcx,%rax)
        je 8f
        syscall
        movq 8(%rsp), %rcx
        .cfi_remember_state
        .cfi_register %rip, %rcx
        leaq PASS_FRAME(%rsp), %rsp
        .cfi_adjust_cfa_offset -PASS_FRAME
        jmp *%rcx
8:      .cfi_restore_state
        movq 8(%rsp), %rcx
        .cfi_register %rip, %r11
        leaq PASS_FRAME(%rsp), %rsp
        .cfi_adjust_cfa_offset -PASS_FRAME
9:
        .endm

// The frame of both entries: what a system call keeps and an unwinder wants, with rbp at it.
        .macro SAVE_REGISTERS
        leaq -FRAME(%rsp), %rsp
        .cfi_adjust_cfa_offset FRAME
        movq %rax, RAX(%rsp)
        movq %rdi, RDI(%rsp)
        movq %rsi, RSI(%rsp)
        movq %rdx, RDX(%rsp)
        movq %r10, R10(%rsp)
        movq %r8, R8(%rsp)
        movq %r9, R9(%rsp)
        movq %rbx, RBX(%rsp)
        movq %rbp, RBP(%rsp)
        movq %r12, R12(%rsp)
        movq %r13, R13(%rsp)
        movq %r14, R14(%rsp)
        movq %r15, R15(%rsp)
        movq %rcx, RIP(%rsp)
        movq %r11, SITE(%rsp)
        .cfi_rel_offset %rip, SITE
        leaq FRAME(%rsp), %rax
        movq %rax, RSP(%rsp)
        .cfi_rel_offset %rbp, RBP
        movq %rsp, %rbp
        .cfi_def_cfa_register %rbp
        .endm

        .macro SAVE_XMM
        movaps %xmm0, 0(%rsp)
        movaps %xmm1, 16(%rsp)
        movaps %xmm2, 32(%rsp)
        movaps %xmm3, 48(%rsp)
        movaps %xmm4, 64(%rsp)
        movaps %xmm5, 80(%rsp)
        movaps %xmm6, 96(%rsp)
        movaps %xmm7, 112(%rsp)
        movaps %xmm8, 128(%rsp)
        movaps %xmm9, 144(%rsp)
        movaps %xmm10, 160(%rsp)
        movaps %xmm11, 176(%rsp)
        movaps %xmm12, 192(%rsp)
        movaps %xmm13, 208(%rsp)
        movaps %xmm14, 224(%rsp)
        movaps %xmm15, 240(%rsp)
        .endm

        .macro LOAD_XMM
        movaps 0(%rsp), %xmm0
        movaps 16(%rsp), %xmm1
        movaps 32(%rsp), %xmm2
        movaps 48(%rsp), %xmm3
        movaps 64(%rsp), %xmm4
        movaps 80(%rsp), %xmm5
        movaps 96(%rsp), %xmm6
        movaps 112(%rsp), %xmm7
        movaps 128(%rsp), %xmm8
        movaps 144(%rsp), %xmm9
        movaps 160(%rsp), %xmm10
        movaps 176(%rsp), %xmm11
        movaps 192(%rsp), %xmm12
        movaps 208(%rsp), %xmm13
        movaps 224(%rsp), %xmm14
        movaps 240(%rsp), %xmm15
        .endm

// Leaves with what the frame holds; rax is the result.
        .macro LOAD_REGISTERS_AND_LEAVE
        movq RDI(%rbp), %rdi
        movq RSI(%rbp), %rsi
        movq RDX(%rbp), %rdx
        movq R10(%rbp), %r10
        movq R8(%rbp), %r8
        movq R9(%rbp), %r9
        movq RBX(%rbp), %rbx
        movq R12(%rbp), %r12
        movq R13(%rbp), %r13
        movq R14(%rbp), %r14
        movq R15(%rbp), %r15
        movq RIP(%rbp), %rcx
        leaq FRAME(%rbp), %r11
        .cfi_def_cfa %r11, 0
        movq RBP(%rbp), %rbp
        .cfi_restore %rbp
        movq %r11, %rsp             // from here on a signal may write over the frame
        .cfi_register %rip, %rcx
        jmp *%rcx
        .endm

// In:  every register as at the system-call instruction, but rcx: where to continue, r11: the
// address of the site.
// Out: continues there; rax is the result, rcx, r11 and the flags are destroyed, everything else
// is as before.
//
// Vector registers: the compiler knows that a system call keeps them, so libc may hold values in
// them across its sites, and the handler may switch to a thread that uses them. xmm is enough:
// libc is compiled for the baseline, its functions with wider registers make no system call, and
// the wider parts belong to nobody across a call of a libc function. MXCSR and the x87 control
// word are kept by whoever is called.
//
// To an unwinder this frame looks like a signal frame (S) on top of the site's function: the
// address of the site is taken as it is, and the stubs, which have no unwind information, are
// never seen.
        .globl bobbin_text_entry
        .hidden bobbin_text_entry
        .type bobbin_text_entry, @function
        .p2align 6
bobbin_text_entry:
        .cfi_startproc
        PASS_DIRECTLY
        SAVE_REGISTERS
        andq $-16, %rsp
        subq $VECTORS, %rsp
        SAVE_XMM
        cld
        movq %rbp, %rdi
        call bobbin_enter_from_text
        LOAD_XMM
        LOAD_REGISTERS_AND_LEAVE
        .cfi_endproc
        .size bobbin_text_entry, . - bobbin_text_entry

// As bobbin_text_entry, for sites in code that may hold values in any vector register: whatever is
// not in its initial state is saved whole, and what is in its initial state is so again afterwards.
// Requires: XSAVEC, and XGETBV with ecx = 1 (bobbin_wide_entry_available).
//
// rbx, across the call: 1 where the state was saved.
        .globl bobbin_text_entry_wide
        .hidden bobbin_text_entry_wide
        .type bobbin_text_entry_wide, @function
        .p2align 6
bobbin_text_entry_wide:
        .cfi_startproc
        PASS_DIRECTLY
        SAVE_REGISTERS
        .cfi_rel_offset %rbx, RBX
        andq $-64, %rsp
        xorl %ebx, %ebx
        movl $1, %ecx
        xgetbv                      // which parts are not in their initial state
        testl $WIDE_PARTS, %eax
        jz 1f
        subq $XSAVE_BYTES, %rsp
        xorl %eax, %eax
        .irp offset, 0, 8, 16, 24, 32, 40, 48, 56
        movq %rax, (XSAVE_HEADER + \offset)(%rsp)
        .endr
        movl $SAVED_PARTS, %eax
        xorl %edx, %edx
        xsavec (%rsp)
        movl $1, %ebx
        jmp 2f
1:      subq $VECTORS, %rsp
        SAVE_XMM
2:      cld
        movq %rbp, %rdi
        call bobbin_enter_from_text
        movq %rax, RAX(%rbp)
        testl %ebx, %ebx
        jz 3f
        movl $SAVED_PARTS, %eax
        xorl %edx, %edx
        xrstor (%rsp)
        jmp 5f
3:      movl $1, %ecx
        xgetbv
        testl $WIDE_PARTS, %eax
        jz 4f
        vzeroupper                  // AVX by itself: XRSTOR would load MXCSR with it
        movl $ABOVE_AVX, %eax
        xorl %edx, %edx
        xrstor initial_state(%rip)
4:      LOAD_XMM
5:      movq RAX(%rbp), %rax
        LOAD_REGISTERS_AND_LEAVE
        .cfi_endproc
        .size bobbin_text_entry_wide, . - bobbin_text_entry_wide

// void bobbin_load_registers(const Registers*). The memory is not read after rsp was loaded.
        .globl bobbin_load_registers
        .hidden bobbin_load_registers
        .type bobbin_load_registers, @function
        .p2align 4
bobbin_load_registers:
        .cfi_startproc
        .cfi_undefined %rip         // nobody called the thread that starts here
        movq RSI(%rdi), %rsi
        movq RDX(%rdi), %rdx
        movq R10(%rdi), %r10
        movq R8(%rdi), %r8
        movq R9(%rdi), %r9
        movq RBX(%rdi), %rbx
        movq RBP(%rdi), %rbp
        movq R12(%rdi), %r12
        movq R13(%rdi), %r13
        movq R14(%rdi), %r14
        movq R15(%rdi), %r15
        movq RIP(%rdi), %rcx
        movq RSP(%rdi), %r11
        movq RDI(%rdi), %rdi
        movq %r11, %rsp
        xorl %eax, %eax
        jmp *%rcx
        .cfi_endproc
        .size bobbin_load_registers, . - bobbin_load_registers

// long bobbin_clone_with_registers(long nr, const Registers* parent, const Registers* child).
//
// A child with a stack of its own may run while the parent has long left the frame that holds
// `child`, so its registers are first copied below its stack pointer, as far down as
// bobbin_text_entry keeps its own. A child on the parent's stack finds `child` where it is: it has
// a copy of the memory, or the parent waits for it (vfork: the child then runs over the parent's
// frames below its stack pointer, so the caller must be on another stack).
        .globl bobbin_clone_with_registers
        .hidden bobbin_clone_with_registers
        .type bobbin_clone_with_registers, @function
        .p2align 4
bobbin_clone_with_registers:
        .cfi_startproc
        pushq %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        movq %rdx, %rbx             // the registers that the child loads
        leaq -8(%rsp), %r12         // where its stack pointer is kept off them while it does
        movq %rdi, %rax
        movq RSP(%rdx), %r13
        cmpq %r13, RSP(%rsi)
        je 2f
        leaq -FRAME(%r13), %r12
        movl $(RIP / 8), %ecx
1:      movq (%rbx,%rcx,8), %r11
        movq %r11, (%r12,%rcx,8)
        decl %ecx
        jns 1b
        movq %r12, %rbx
2:      movq RDI(%rsi), %rdi
        movq RDX(%rsi), %rdx
        movq R10(%rsi), %r10
        movq R8(%rsi), %r8
        movq R9(%rsi), %r9
        movq RSI(%rsi), %rsi
        syscall
        testq %rax, %rax
        jz 3f
        .cfi_remember_state
        popq %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        ret
3:      .cfi_restore_state
        .cfi_undefined %rip
        movq %r12, %rsp
        movl $ARCH_SET_GS, %edi
        xorl %esi, %esi
        movl $SYS_arch_prctl, %eax
        syscall
        movq %rbx, %rdi
        jmp bobbin_load_registers
        .cfi_endproc
        .size bobbin_clone_with_registers, . - bobbin_clone_with_registers

// What XRSTOR makes the initial state of: no part present in it, in the compacted form.
        .section .rodata
        .p2align 6
        .type initial_state, @object
initial_state:
        .zero XSAVE_HEADER + 8
        .quad 0x8000000000000000 | ABOVE_AVX
        .zero 48
        .size initial_state, . - initial_state

        .globl bobbin_passed_directly
        .hidden bobbin_passed_directly
        .type bobbin_passed_directly, @object
        .bss
        .p2align 6
bobbin_passed_directly:
        .zero PASSED_NUMBERS
        .size bobbin_passed_directly, . - bobbin_passed_directly

        .section .note.GNU-stack, "", @progbits
