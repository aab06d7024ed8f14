// System-call sites outside libc, of each kind that dispatch meets (dispatch_test.cc). Each is
// long site(long a, long b, long c): makes one call and returns what the kernel returns.
        .text

.macro FUNCTION name
        .globl \name
        .type \name, @function
        .p2align 4
\name:
        .cfi_startproc
.endm
.macro END name
        ret
        .cfi_endproc
        .size \name, . - \name
.endm

// The number in an instruction as long as a jump: patched wherever it is met.
FUNCTION site_getppid
        mov $110, %eax
        syscall
END site_getppid

FUNCTION site_sched_yield
        mov $24, %eax
        syscall
END site_sched_yield

// Other instructions stand between: their copies run in the stub.
FUNCTION site_futex_wait
        mov $202, %eax
        mov %rsi, %rdx
        mov $128, %esi
        xor %r10d, %r10d
        syscall
END site_futex_wait

// read(a, b, c): the number is shorter than a jump, which reaches behind the call.
FUNCTION site_read
        xor %eax, %eax
        syscall
        nop
        nop
        nop
        nop
END site_read

// syscall(a): the number is not known before it runs.
FUNCTION site_any
        mov %rdi, %rax
        syscall
        nop
        nop
        nop
        nop
END site_any

// A jump lands on the call itself: no window.
FUNCTION site_jumped_at
        test %rdi, %rdi
        mov $110, %eax
        jz 1f
        mov $110, %eax
1:      syscall
        ret
        .cfi_endproc
        .size site_jumped_at, . - site_jumped_at

// As site_futex_wait, but a jump might lead to the call itself.
FUNCTION site_futex_wait_unpatched
        mov $202, %eax
        mov %rsi, %rdx
        mov $128, %esi
        xor %r10d, %r10d
        test %rdi, %rdi
        jz 1f
1:      syscall
END site_futex_wait_unpatched

// getppid(), patched only while no other thread is inside.
FUNCTION site_after_leaving
        push $110
        .cfi_adjust_cfa_offset 8
        pop %rax
        .cfi_adjust_cfa_offset -8
        syscall
        nop
        nop
        nop
END site_after_leaving

// Many sites, to be met by several schedulers at once.
.macro MANY n
        .globl site_many_\n
        .type site_many_\n, @function
        .p2align 4
site_many_\n:
        .cfi_startproc
        mov $110, %eax
        syscall
        ret
        .cfi_endproc
        .size site_many_\n, . - site_many_\n
.endm
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        MANY \n
        .endr

// long site_with_vectors(uint32_t* word, uint32_t value, const void* in, void* out): waits on a
// futex with 16 registers of 32 bytes loaded from `in`, and stores them to `out`, with the red zone
// filled too.
FUNCTION site_with_vectors
        push %rcx
        .cfi_adjust_cfa_offset 8
        mov %rdx, %rax
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups 32*\n(%rax), %ymm\n
        mov 8*\n(%rax), %rcx
        mov %rcx, -128+8*\n(%rsp)
        .endr
        mov %esi, %edx
        mov $128, %esi
        xor %r10d, %r10d
        mov $202, %eax
        syscall
        mov (%rsp), %rcx
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups %ymm\n, 32*\n(%rcx)
        .endr
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        mov -128+8*\n(%rsp), %rdx
        mov %rdx, 512+8*\n(%rcx)
        .endr
        vzeroupper
        pop %rcx
        .cfi_adjust_cfa_offset -8
END site_with_vectors

// void spin_with_vectors(const volatile int* flag, const void* in, void* out): as above, but spins
// in user code until the flag is set.
FUNCTION spin_with_vectors
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups 32*\n(%rsi), %ymm\n
        mov 8*\n(%rsi), %rcx
        mov %rcx, -128+8*\n(%rsp)
        .endr
1:      cmpl $0, (%rdi)
        je 1b
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovups %ymm\n, 32*\n(%rdx)
        mov -128+8*\n(%rsp), %rcx
        mov %rcx, 512+8*\n(%rdx)
        .endr
        vzeroupper
END spin_with_vectors

// void spoil_vectors(): as a function that uses them may.
FUNCTION spoil_vectors
        vpcmpeqd %ymm0, %ymm0, %ymm0
        .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovdqa %ymm0, %ymm\n
        .endr
END spoil_vectors

// void return_from_signal(void* context): a handler's return that libc has no part in.
FUNCTION return_from_signal
        mov %rdi, %rsp
        mov $15, %eax
        syscall
        hlt
END return_from_signal

        .section .note.GNU-stack, "", @progbits
