// An echo server in plain C++ and POSIX: a thread a connection, calls that block.
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

void Echo(int client) {
  char buffer[4096];
  ssize_t count, written = 0;
  while (written >= 0 && (count = read(client, buffer, sizeof(buffer))) > 0) {
    for (ssize_t done = 0; done < count && written >= 0; done += written) {
      written = write(client, buffer + done, count - done);
    }
  }
  close(client);
}

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // a client that left is told by write's result
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(argc > 1 ? atoi(argv[1]) : 7000);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, 1024) != 0) {
    perror("echo");
    return 1;
  }
  for (;;) {
    int client = accept(listener, nullptr, nullptr);
    if (client >= 0) std::thread(Echo, client).detach();
  }
}
