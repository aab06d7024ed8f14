// Tells whether this process runs on user threads, by the public API of an installed Bobbin.
#include <bobbin/bobbin.h>
#include <stdio.h>

int main() {
  if (bobbin::Active()) return 0;
  fprintf(stderr, "on kernel threads: %s\n", bobbin::InactiveReason());
  return 1;
}
