// Two threads that hand a byte to and fro through pipes for so many seconds: a program to profile.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <thread>

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "Usage: talkers SECONDS\n");
    return 2;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(atof(argv[1]));
  int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) {
    perror("talkers: pipe");
    return 1;
  }
  std::thread other([&] {
    char byte;
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
    }
    close(back[1]);
  });
  char byte = 'x';
  while (std::chrono::steady_clock::now() < end) {
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return 1;
  }
  close(there[1]);
  other.join();
  return 0;
}
