// A program that no library can be preloaded into.
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  const char* preload = getenv("LD_PRELOAD");
  printf("static %s\n", preload == NULL ? "" : preload);
  return 0;
}
