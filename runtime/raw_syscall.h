// Makes a system call directly, past libc and past every way in of our own.
//
// Returns: the kernel's answer, -errno on error. Source: x86-64 psABI A.2.1. Callers: anyone,
// signal handlers too.
#ifndef BOBBIN_RUNTIME_RAW_SYSCALL_H_
#define BOBBIN_RUNTIME_RAW_SYSCALL_H_

#include <sys/syscall.h>

namespace bobbin {

namespace internal {
template <typename T>
inline long Word(T value) {
  return (long)value;  // NOLINT: pointers and integers alike travel in one register
}
}  // namespace internal

inline long RawSyscall6(long nr, long a, long b, long c, long d, long e, long f) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

inline long RawSyscall(long nr) {
  long result;
  asm volatile("syscall" : "=a"(result) : "a"(nr) : "rcx", "r11", "memory");
  return result;
}

template <typename A>
inline long RawSyscall(long nr, A a) {
  long result;
  asm volatile("syscall" : "=a"(result) : "a"(nr), "D"(internal::Word(a)) : "rcx", "r11", "memory");
  return result;
}

template <typename A, typename B>
inline long RawSyscall(long nr, A a, B b) {
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(internal::Word(a)), "S"(internal::Word(b))
               : "rcx", "r11", "memory");
  return result;
}

template <typename A, typename B, typename C>
inline long RawSyscall(long nr, A a, B b, C c) {
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(internal::Word(a)), "S"(internal::Word(b)), "d"(internal::Word(c))
               : "rcx", "r11", "memory");
  return result;
}

template <typename A, typename B, typename C, typename D>
inline long RawSyscall(long nr, A a, B b, C c, D d) {
  register long r10 asm("r10") = internal::Word(d);
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(internal::Word(a)), "S"(internal::Word(b)), "d"(internal::Word(c)),
                 "r"(r10)
               : "rcx", "r11", "memory");
  return result;
}

template <typename A, typename B, typename C, typename D, typename E>
inline long RawSyscall(long nr, A a, B b, C c, D d, E e) {
  register long r10 asm("r10") = internal::Word(d);
  register long r8 asm("r8") = internal::Word(e);
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(internal::Word(a)), "S"(internal::Word(b)), "d"(internal::Word(c)),
                 "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
}

template <typename A, typename B, typename C, typename D, typename E, typename F>
inline long RawSyscall(long nr, A a, B b, C c, D d, E e, F f) {
  return RawSyscall6(nr, internal::Word(a), internal::Word(b), internal::Word(c), internal::Word(d),
                     internal::Word(e), internal::Word(f));
}

}  // namespace bobbin

#endif  // BOBBIN_RUNTIME_RAW_SYSCALL_H_
